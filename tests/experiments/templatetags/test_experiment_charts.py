"""Charts: where things are placed, and that nothing which is not there gets drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from django.template import Context, Template

from experiments.reports import Bounds, ExperimentReport, SeriesPoint
from experiments.templatetags.experiment_charts import ForestRow, Scale, forest_plot, lift_series
from tests.experiments.reports import make_always_valid, make_comparison, make_metric, make_report


def render(text: str, **context: object) -> ET.Element:
    """The first SVG of a rendered template, which must be well-formed XML."""
    html = Template("{% load experiment_charts %}" + text).render(Context(context))
    start = html.index("<svg")
    return ET.fromstring(html[start : html.index("</svg>") + len("</svg>")])


def forest(report: ExperimentReport) -> ET.Element:
    return render("{% forest_plot report %}", report=report)


def rows(report: ExperimentReport, drawing: int = 0) -> list[ForestRow]:
    found: list[ForestRow] = forest_plot(report)["drawings"][drawing]["rows"]
    return found


def classes(svg: ET.Element) -> list[str]:
    return [element.get("class", "") for element in svg.iter()]


def test_forest_plot__report__is_accessible_svg_with_one_row_a_comparison() -> None:
    svg = forest(make_report())
    assert svg.get("role") == "img"
    ids = {element.get("id") for element in svg.iter()}
    assert set(svg.get("aria-labelledby", "").split()) <= ids
    assert "chart-interval is-good" in classes(svg)
    assert sum(name.startswith("chart-point") for name in classes(svg)) == 1
    assert "style" not in {name for element in svg.iter() for name in element.attrib}


def test_forest_plot__interval_over_zero__has_no_colour() -> None:
    unclear = make_comparison(always_valid=make_always_valid(lift_ci=Bounds(-0.1, 0.4, 0.95)))
    report = make_report(metrics=(make_metric(comparisons=(unclear,)),))
    for drawing, width in enumerate((760, 360)):
        row = rows(report, drawing)[0]
        assert row.tone == ""
        assert row.x_lower is not None
        assert row.x is not None
        assert row.x_upper is not None
        assert 0 < row.x_lower < row.x < row.x_upper < width


def test_forest_plot__labels__lie_apart_from_the_grid() -> None:
    report = make_report(metrics=(make_metric(), make_metric(key="second")))
    wide, phone = rows(report), rows(report, 1)
    assert [row.y - row.y_label for row in wide] == [-4, -4]  # beside the row
    for row in phone:
        assert row.y_label < row.y_top  # above the row's piece of grid
    assert phone[0].y_bottom < phone[1].y_label


def test_forest_plot__lower_is_better__turns_the_colour() -> None:
    assert rows(make_report(metrics=(make_metric(direction="down"),)))[0].tone == "is-bad"
    less = make_comparison(always_valid=make_always_valid(lift_ci=Bounds(-0.4, -0.1, 0.95)))
    report = make_report(metrics=(make_metric(direction="down", comparisons=(less,)),))
    assert rows(report)[0].tone == "is-good"


def test_forest_plot__nothing_known__draws_no_point() -> None:
    unknown = make_comparison(always_valid=make_always_valid(lift_ci=None))
    unknown = replace(unknown, raw=replace(unknown.raw, lift=None))
    svg = forest(make_report(metrics=(make_metric(comparisons=(unknown,)),)))
    assert not any(name.startswith(("chart-point", "chart-interval")) for name in classes(svg))


def test_forest_plot__demo__shows_the_truth_beside() -> None:
    report = make_report(metrics=(make_metric(comparisons=(make_comparison(true_lift=0.25),)),))
    assert "chart-truth" in classes(forest(report))


def test_forest_plot__single_look__draws_the_fixed_interval() -> None:
    found = rows(make_report(is_single_look=True))[0]
    other = rows(make_report())[0]
    assert found.x_lower != other.x_lower


def test_forest_plot__no_arm_to_compare__says_so() -> None:
    html = Template("{% load experiment_charts %}{% forest_plot report %}").render(
        Context({"report": make_report(metrics=())})
    )
    assert "no arm to compare" in html
    assert "<svg" not in html


def test_lift_series__days__have_a_line_and_a_band_from_the_first_interval_on() -> None:
    report = make_report()
    context = lift_series(report, report.metrics[0], report.metrics[0].comparisons[0])["drawings"][0]
    assert len(context["line"].split()) == 3
    assert len(context["bands"]) == 1
    assert len(context["bands"][0].split()) == 4  # two days with an interval, there and back
    svg = render(
        "{% lift_series report metric comparison %}",
        report=report,
        metric=report.metrics[0],
        comparison=report.metrics[0].comparisons[0],
    )
    assert "chart-band" in classes(svg)


def test_lift_series__gap_in_the_intervals__makes_two_bands() -> None:
    points = tuple(
        SeriesPoint(f"2026-03-{day:02}", 10, 10, 0.1, lower, upper)
        for day, lower, upper in [(1, -0.1, 0.3), (2, None, None), (3, 0.0, 0.2)]
    )
    comparison = make_comparison(series=points, true_lift=0.15, always_valid=make_always_valid(lift_ci=None))
    report = make_report()
    context = lift_series(report, report.metrics[0], comparison)["drawings"][1]
    assert len(context["bands"]) == 2
    assert context["truth"] is not None


def test_lift_series__no_look_yet__tells_the_reason() -> None:
    report = make_report()
    comparison = make_comparison(series=())
    context = lift_series(report, report.metrics[0], comparison)
    assert (context["points"], context["drawings"]) == ([], [])
    html = Template("{% load experiment_charts %}{% lift_series report metric comparison %}").render(
        Context({"report": report, "metric": report.metrics[0], "comparison": comparison})
    )
    assert "<svg" not in html


def test_lift_series__one_look__has_one_date() -> None:
    report = make_report()
    comparison = make_comparison(series=make_comparison().series[:1])
    drawing = lift_series(report, report.metrics[0], comparison)["drawings"][0]
    assert len(drawing["days"]) == 1


@pytest.mark.parametrize(("lower", "upper"), [(-0.02, 0.03), (-0.5, 2.4), (0.0, 40.0), (-0.001, 0.004)])
def test_scale__range__has_a_few_round_ticks_with_zero(lower: float, upper: float) -> None:
    scale = Scale(lower, upper, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 7
    assert sum(tick.is_zero for tick in ticks) == 1
    assert (scale(lower - 1), scale(upper + 1)) == (0, 100)
