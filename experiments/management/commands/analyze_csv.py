"""`manage.py analyze_csv FILE --arm COLUMN --control VALUE --metric COLUMN …`: a finished experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any, cast

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse
from django.utils import timezone
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.errors import CannotImport
from experiments.facts.csv_file import KINDS
from experiments.reports import Bounds, Estimate, ExperimentReport, MetricReport
from experiments.services.imports import Columns, ImportedExperiment, MetricColumn, import_finished_experiment

BAD_INPUT = 2
"""Exit status for input that cannot be used."""
TABLE_WIDTH = 150
"""Columns that the table needs, also where the output is a file."""


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
            help="designed share of an arm, where the arms were not meant to be equal; give it for every arm",
        )
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        _require_tables()
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
        terminal = Console(file=cast("IO[str]", self.stdout))
        console = Console(file=cast("IO[str]", self.stdout), width=max(terminal.width, TABLE_WIDTH))
        names = {arm.key: escape(arm.name) for arm in report.arms}
        table = Table(title=escape(report.name), caption=_srm_text(report))
        for heading in ("Metric", "Arm"):
            table.add_column(heading)
        for heading in ("Control → arm", "Effect (95 %)", "p", "Lift (95 %)", "p"):
            table.add_column(heading, justify="right", no_wrap=True)
        for metric in report.metrics:
            for comparison in metric.comparisons:
                table.add_row(*_cells(escape(metric.name), names[comparison.arm], comparison.raw))
                if comparison.adjusted is not None:
                    table.add_row(*_cells("  adjusted", "", comparison.adjusted))
        console.print(table)
        page = reverse("experiments:experiment-detail", kwargs={"key": imported.experiment_key})
        console.print(f"Result page: {page}")


def _require_tables() -> None:
    """An analyst's first command in a fresh clone may be this one: an empty database is set up silently."""
    if not connection.introspection.table_names():
        call_command("migrate", verbosity=0, interactive=False)
        return
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError(
            "The database is older than this version: run manage.py migrate first.", returncode=BAD_INPUT
        )


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


def _cells(metric: str, arm: str, estimate: Estimate) -> list[str]:
    return [
        metric,
        arm,
        f"{_number(estimate.mean_control)} → {_number(estimate.mean_arm)}",
        f"{_number(estimate.effect)} {_range(estimate.effect_ci)}",
        _number(estimate.p_value),
        f"{_percent(estimate.lift)} {_range(estimate.lift_ci, percent=True)}",
        _number(estimate.lift_p_value),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2%}"


def _range(bounds: Bounds | None, *, percent: bool = False) -> str:
    if bounds is None:
        return "(–)"
    write = _percent if percent else _number
    return f"({write(bounds.lower)}, {write(bounds.upper)})"


def _srm_text(report: ExperimentReport) -> str:
    p_value = report.health.srm.p_value
    word = "mismatch: do not trust the effects" if report.health.srm.is_mismatch else "fine"
    return f"Sample ratio: p = {_number(p_value)} ({word}). Adjusted: for the covariate (CUPED)."
