"""A model's evaluation report as what an SVG draws: places in the units of its viewBox, and the numbers beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from recommender.models import ModelVersion

LEFT, RIGHT = 110.0, 350.0
"""Where a plot's field begins and ends; labels stand before it."""

ROW = 26.0
TOP = 16.0
SQUARE = 200.0


@dataclass(frozen=True, slots=True)
class Whisker:
    """A mean with its interval on a common scale."""

    label: str
    mean: float
    lower: float
    upper: float
    n: int
    x: float
    x_lower: float
    x_upper: float
    y: float
    is_baseline: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """One category: its share of the lists, of the range and of people's choices."""

    label: str
    exposure: float
    catalogue: float
    choices: float
    width_exposure: float
    width_choices: float
    y: float

    @property
    def parity(self) -> float | None:
        """Exposure per share of the range: 1 is even; None where the range has none."""
        return self.exposure / self.catalogue if self.catalogue else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the report with its interval and what it means."""

    label: str
    mean: float
    lower: float
    upper: float
    hint: str


@dataclass(frozen=True, slots=True)
class Plots:
    """Everything that the report page draws."""

    figures: tuple[Figure, ...]
    gain: Figure
    popularity_lift: float | None
    whiskers: tuple[Whisker, ...]
    scale_end: float
    whiskers_height: float
    bars: tuple[Bars, ...]
    bars_height: float
    lorenz: str
    """Points of the curve."""


def plots_of(*, model: ModelVersion) -> Plots | None:
    """The drawings of a model's report; None where it was not judged."""
    report: dict[str, Any] = model.report
    if not report:
        return None
    rows = [
        (_("this model"), report["accuracy"]["ndcg"], False),
        (_("popularity"), report["popularity"], True),
        *((_("%(events)s events") % {"events": group["label"]}, group, False) for group in report["people"]),
    ]
    end = max(row["upper"] for _label, row, _base in rows) or 1.0
    return Plots(
        figures=tuple(_figures(report)),
        gain=Figure(label=_("Better than popularity by"), hint="", **_ends(report["gain"])),
        popularity_lift=report["popularity_lift"],
        whiskers=tuple(
            Whisker(
                label=str(label),
                n=row["n"],
                **_ends(row),
                x=_place(row["mean"], end),
                x_lower=_place(row["lower"], end),
                x_upper=_place(row["upper"], end),
                y=TOP + place * ROW,
                is_baseline=is_baseline,
            )
            for place, (label, row, is_baseline) in enumerate(rows)
        ),
        scale_end=end,
        whiskers_height=TOP + len(rows) * ROW,
        bars=tuple(_bars(report["items"])),
        bars_height=TOP + len(report["items"]) * ROW,
        lorenz=" ".join(
            f"{SQUARE * at / (len(report['lorenz']) - 1):.1f},{SQUARE * (1 - value):.1f}"
            for at, value in enumerate(report["lorenz"])
        ),
    )


def _figures(report: dict[str, Any]) -> list[Figure]:
    words = {
        "ndcg": ("NDCG@10", _("what people chose stands high in the list")),
        "recall": (_("Recall@10"), _("share of what they chose that is in the list")),
        "precision": (_("Precision@10"), _("share of the list that they chose")),
        "map": ("MAP@10", _("precision at each hit, averaged")),
        "mrr": ("MRR@10", _("1 / place of the first hit")),
        "hit_rate": (_("Hit rate@10"), _("lists with at least one hit")),
    }
    found = [Figure(words[name][0], hint=words[name][1], **_ends(row)) for name, row in report["accuracy"].items()]
    if report.get("diversity"):
        found.append(Figure(_("Variety"), hint=_("1 − likeness of two items of a list"), **_ends(report["diversity"])))
    if report.get("calibration"):
        hint = _("how far the list's categories are from the person's: 0 is the same")
        found.append(Figure(_("Miscalibration"), hint=hint, **_ends(report["calibration"])))
    return found


def _bars(groups: list[dict[str, Any]]) -> list[Bars]:
    end = max((max(group["exposure"], group["choices"]) for group in groups), default=1.0) or 1.0
    return [
        Bars(
            **group,
            width_exposure=(RIGHT - LEFT) * group["exposure"] / end,
            width_choices=(RIGHT - LEFT) * group["choices"] / end,
            y=TOP + place * ROW,
        )
        for place, group in enumerate(groups)
    ]


def _ends(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("mean", "lower", "upper")}


def _place(value: float, end: float) -> float:
    return LEFT + (RIGHT - LEFT) * max(0.0, value) / end
