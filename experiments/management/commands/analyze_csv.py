"""`manage.py analyze_csv FILE --arm COLUMN --control VALUE --metric COLUMN …`: a finished experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from experiments.errors import CannotImport
from experiments.facts.csv_file import KINDS
from experiments.reports import Bounds, ComparisonReport, Estimate, ExperimentReport, MetricReport
from experiments.services.imports import Columns, ImportedExperiment, MetricColumn, import_finished_experiment

BAD_INPUT = 2
"""Exit status for input that cannot be used."""


class Command(BaseCommand):
    help = (
        "Import a finished experiment from a file of one row per unit (comma, semicolon or tab; gzip allowed), "
        "store it with a result page, and print its results."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--unit", metavar="COLUMN", help="identifies the unit; without it a row is a unit")
        parser.add_argument("--arm", metavar="COLUMN", required=True, help="names the unit's arm")
        parser.add_argument(
            "--control", metavar="VALUE", required=True, help="the arm that the others are compared with"
        )
        parser.add_argument(
            "--metric",
            metavar="COLUMN[:proportion|mean]",
            action="append",
            required=True,
            help="a number per unit; may be given several times, the first one decides",
        )
        parser.add_argument("--covariate", metavar="COLUMN", help="a number per unit known before the exposure")
        parser.add_argument(
            "--weight",
            metavar="ARM=SHARE",
            action="append",
            default=[],
            help="designed share of an arm, where the arms were not meant to be equal",
        )
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        columns = Columns(
            arm=options["arm"],
            control=options["control"],
            metrics=tuple(_metric(text) for text in options["metric"]),
            unit=options["unit"],
            covariate=options["covariate"],
        )
        try:
            weights = dict(_weight(text) for text in options["weight"])
            imported = import_finished_experiment(
                path=options["file"], columns=columns, at=timezone.now(), weights=weights
            )
        except CannotImport as error:
            raise CommandError(f"{options['file']}: {error}", returncode=BAD_INPUT) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(_as_json(imported.report), allow_nan=False))
        else:
            self._print(imported)

    def _print(self, imported: ImportedExperiment) -> None:
        report = imported.report
        console = Console(file=cast("IO[str]", self.stdout))
        names = {arm.key: arm.name for arm in report.arms}
        table = Table(title=report.name, caption=_srm_text(report))
        for heading in ("metric", "arm", "n", "mean", "effect", "95 % interval", "p", "lift", "95 % interval", "p"):
            table.add_column(heading, justify="left" if heading in ("metric", "arm") else "right")
        for metric in report.metrics:
            for comparison in metric.comparisons:
                table.add_row(*_cells(metric, comparison, comparison.raw, names[comparison.arm], suffix=""))
                if comparison.adjusted is not None:
                    table.add_row(
                        *_cells(metric, comparison, comparison.adjusted, names[comparison.arm], suffix=" adj.")
                    )
        console.print(table)
        try:
            page = reverse("experiments:experiment-detail", kwargs={"key": imported.experiment_key})
        except NoReverseMatch:
            return
        console.print(f"Result page: {page}")


def _metric(text: str) -> MetricColumn:
    """`COLUMN` or `COLUMN:kind`; a colon before anything else belongs to the column's name."""
    name, _, kind = text.rpartition(":")
    for known in KINDS:
        if name and kind == known:
            return MetricColumn(name=name, kind=known)
    return MetricColumn(name=text)


def _weight(text: str) -> tuple[str, float]:
    arm, _, share = text.rpartition("=")
    try:
        return arm, float(share)
    except ValueError as error:
        raise CannotImport(f"--weight {text}: write ARM=SHARE, for example control=0.1") from error


def _as_json(report: ExperimentReport) -> dict[str, Any]:
    """The documented form, with full precision; comparisons by arm, then by metric."""
    names = {arm.key: arm.name for arm in report.arms}
    return {
        "srm": {"p_value": report.health.srm.p_value},
        "comparisons": [
            {
                "metric": metric.name,
                "kind": metric.kind,
                "control": names[comparison.control],
                "arm": names[comparison.arm],
                "n_control": comparison.n_control,
                "n_arm": comparison.n_arm,
                "mean_control": comparison.raw.mean_control,
                "mean_arm": comparison.raw.mean_arm,
                **_estimate(comparison.raw),
                "adjusted": _adjusted(metric, comparison.adjusted),
            }
            for arm in report.arms
            for metric in report.metrics
            for comparison in metric.comparisons
            if comparison.arm == arm.key
        ],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "effect": estimate.effect,
        "effect_ci": _pair(estimate.effect_ci),
        "p_value": estimate.p_value,
        "lift": estimate.lift,
        "lift_ci": _pair(estimate.lift_ci),
        "lift_p_value": estimate.lift_p_value,
    }


def _adjusted(metric: MetricReport, estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "covariates": list(metric.covariates),
        **_estimate(estimate),
        "variance_saved": estimate.variance_saved,
    }


def _pair(bounds: Bounds | None) -> list[float | None] | None:
    return None if bounds is None else [bounds.lower, bounds.upper]


def _cells(
    metric: MetricReport, comparison: ComparisonReport, estimate: Estimate, arm: str, *, suffix: str
) -> list[str]:
    return [
        metric.name + suffix,
        arm,
        f"{comparison.n_arm:,}",
        _number(estimate.mean_arm),
        _number(estimate.effect),
        _range(estimate.effect_ci),
        _number(estimate.p_value),
        _number(estimate.lift),
        _range(estimate.lift_ci),
        _number(estimate.lift_p_value),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _range(bounds: Bounds | None) -> str:
    return "–" if bounds is None else f"[{_number(bounds.lower)}, {_number(bounds.upper)}]"


def _srm_text(report: ExperimentReport) -> str:
    p_value = report.health.srm.p_value
    word = "mismatch: do not trust the effects" if report.health.srm.is_mismatch else "fine"
    return f"sample ratio: p = {_number(p_value)} ({word}); adj. = adjusted for the covariate"
