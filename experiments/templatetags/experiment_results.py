"""Everything a page of results loads: numbers, words, and what a row of a table says."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.utils.translation import gettext, pgettext

from experiments.reports import AgeEffect, ArmTotals, Bounds, ComparisonReport, Estimate, ExperimentReport, MetricReport
from experiments.selectors.certificates import MetricCertificate
from experiments.templatetags import experiment_numbers, experiment_words
from experiments.templatetags.experiment_numbers import MISSING, number, percent, signed, whole

register = template.Library()
# One `{% load %}` on a page is enough.
register.filters.update({**experiment_numbers.register.filters, **experiment_words.register.filters})


@register.filter
def arm_name(key: str, report: ExperimentReport) -> str:
    """The name of an arm."""
    return next((arm.name for arm in report.arms if arm.key == key), key)


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """An estimate with its name."""

    label: str
    estimate: Estimate


@register.filter
def estimate_rows(comparison: ComparisonReport) -> list[EstimateRow]:
    """The raw estimate, and the adjusted one with what the adjustment saved."""
    rows = [EstimateRow(gettext("raw"), comparison.raw)]
    if comparison.adjusted is not None:
        saved = percent(comparison.adjusted.variance_saved)
        label = gettext("adjusted (%(saved)s less variance)") % {"saved": saved}
        rows.append(EstimateRow(label, comparison.adjusted))
    if comparison.uncapped is not None:
        rows.append(EstimateRow(gettext("raw, not capped"), comparison.uncapped))
    return rows


@register.filter
def age_range(age: AgeEffect, metric: MetricReport) -> str:
    """The interval of the effect on one day since exposure."""
    if age.lower is None or age.upper is None:
        return MISSING
    return experiment_numbers.effect_range(Bounds(age.lower, age.upper, 0.0), metric)


@register.filter
def comparison_of(metric: MetricReport, arm: str) -> ComparisonReport | None:
    """The comparison of one arm with control; none for control itself."""
    return next((comparison for comparison in metric.comparisons if comparison.arm == arm), None)


@register.filter
def so_far(totals: ArmTotals, metric: MetricReport) -> str:
    """What has come in from everybody, also where the window is still open."""
    if metric.kind == "proportion":
        return pgettext("conversions", "%(count)s of %(people)s") % {
            "count": whole(totals.nonzero_so_far_n),
            "people": whole(totals.exposed_n),
        }
    return number(totals.total_so_far, 2 if metric.unit == "money" else 0)


@register.filter
def incremental_text(comparison: ComparisonReport) -> str:
    """Conversions or money that the arm brought beyond control, with its interval."""
    if comparison.incremental is None:
        return MISSING
    bounds = comparison.incremental_ci
    text = signed(comparison.incremental)
    if bounds is None or bounds.lower is None or bounds.upper is None:
        return text
    return pgettext("number with interval", "%(number)s (%(lower)s to %(upper)s)") % {
        "number": text,
        "lower": signed(bounds.lower),
        "upper": signed(bounds.upper),
    }


@register.filter
def expected_n(report: ExperimentReport, arm: str) -> str:
    """How many units the design expected in an arm."""
    return whole(report.health.srm.expected.get(arm))


@register.filter
def certificate_value(metric: MetricCertificate, name: str) -> str:
    """Mean or standard deviation of a metric of the past, on its own scale."""
    value: float | None = getattr(metric, name)
    if value is None:
        return MISSING
    if metric.unit == "share":
        return percent(value, 2)
    return number(value, 2 if metric.unit == "money" else 4)
