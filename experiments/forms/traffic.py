"""How the traffic of a running experiment is changed: more coverage, or a new phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from experiments.errors import Reason
from experiments.forms.percent import to_percent, to_share
from experiments.services.ramp import RampSpec

NOTE = _("Note for the log")


def parse_ramp(text: str) -> tuple[RampSpec, ...]:
    """The steps that people write as “hours: percent”, separated by commas or lines. ValueError names what is none."""
    steps = []
    for part in text.replace("\n", ",").split(","):
        if not part.strip():
            continue
        hours, _colon, percent = part.partition(":")
        try:
            steps.append(RampSpec(timedelta(hours=float(hours)), to_share(float(percent.strip().rstrip("%")))))
        except (ValueError, OverflowError) as error:
            raise ValueError(part.strip()) from error
    return tuple(steps)


def ramp_text(steps: Sequence[RampSpec]) -> str:
    """The steps as people write them."""
    return ", ".join(f"{step.after.total_seconds() / 3600:g}: {to_percent(step.coverage):g}" for step in steps)


class RampField(forms.CharField):
    """A ramp, typed."""

    def to_python(self, value: Any) -> Any:
        """Read the steps."""
        try:
            return parse_ramp(super().to_python(value) or "")
        except ValueError as error:
            raise forms.ValidationError(
                _("“%(step)s” is no step: write hours and percent, for example 24: 25."), params={"step": str(error)}
            ) from error


class _ReasonedForm(forms.Form):
    def add_reasons(self, reasons: Sequence[Reason]) -> None:
        """Show why the service refused."""
        for reason in reasons:
            self.add_error(None, str(reason))


class CoverageForm(_ReasonedForm):
    """More coverage, now or by steps."""

    now_percent = forms.FloatField(
        label=_("Cover from now on (%)"),
        required=False,
        min_value=0,
        max_value=100,
        help_text=_("More than now. Nobody who is in moves. Empty: leave it."),
    )
    ramp = RampField(
        label=_("Steps to come"),
        required=False,
        help_text=_(
            "Hours after the start of the phase and percent, for example 24: 25, 72: 100. Empty: no more steps."
        ),
    )
    message = forms.CharField(label=NOTE, required=False, max_length=1_000)

    def change(self) -> dict[str, Any]:
        """The arguments of `services.ramp.change_ramp`."""
        data = self.cleaned_data
        now = data["now_percent"]
        return {"now": None if now is None else to_share(now), "steps": data["ramp"], "message": data["message"]}


class PhaseForm(_ReasonedForm):
    """A new regime: weights, coverage, targeting."""

    coverage_percent = forms.FloatField(label=_("Covered traffic (%)"), min_value=0, max_value=100)
    targeting = forms.JSONField(
        label=_("Targeting rule (JSON)"), required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    message = forms.CharField(label=NOTE, required=False, max_length=1_000)

    prefix = "phase"

    def __init__(self, *args: Any, arms: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keys = [arm["key"] for arm in arms]
        for arm in arms:
            self.fields[f"weight-{arm['key']}"] = forms.FloatField(
                label=_("Share of “%(arm)s” (%%)") % {"arm": arm["name"]},
                min_value=0,
                max_value=100,
                initial=to_percent(arm["weight"]),
            )

    def weights(self) -> Iterator[forms.BoundField]:
        """The fields of the arms."""
        return (self[f"weight-{key}"] for key in self._keys)

    def clean_targeting(self) -> dict[str, Any]:
        """An empty field is everyone; the service reads the rule itself."""
        rule = self.cleaned_data["targeting"]
        if rule is not None and not isinstance(rule, dict):
            raise forms.ValidationError(_("The rule must be a JSON object."))
        return rule or {}

    def regime(self) -> dict[str, Any]:
        """The arguments of `services.lifecycle.open_phase`."""
        data = self.cleaned_data
        return {
            "weights": {key: to_share(data[f"weight-{key}"]) for key in self._keys},
            "coverage": to_share(data["coverage_percent"]),
            "targeting": data["targeting"],
            "message": data["message"],
        }
