"""Words and numbers: every message has a sentence, every number a form that cannot mislead."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from experiments.reports import Bounds, Message, SeriesPoint
from experiments.stats.findings import FindingCode
from experiments.stats.results import Reason
from experiments.templatetags import experiment_numbers as numbers
from experiments.templatetags import experiment_results as tags
from experiments.templatetags import experiment_words as sentences
from tests.experiments.reports import make_comparison, make_estimate, make_metric, make_report


def test_words__every_reason_and_finding_of_the_engine__has_a_sentence() -> None:
    reasons = {reason.label for reason in Reason if reason is not Reason.NONE}
    findings = {code.value for code in FindingCode if code is not FindingCode.HEALTH_BLOCKS}
    assert reasons | findings <= set(sentences.WORDS)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (None, ""),
        (Message("of another version"), "of another version"),
        (
            Message("too_few_events", {"found": 12, "needed": 1_250}),
            "Not enough data: 12 of 1,250 needed in the smaller arm.",
        ),
        (Message("srm_fine", {"p_value": 0.5}), "The arms hold the shares that were designed (p = 0.500)."),
        (Message("srm_fine", {"p_value": 1e-9}), "The arms hold the shares that were designed (p < 0.0001)."),
        (
            Message("ship", {"arm": "B", "metric": "Conversion", "lift": 0.123}),
            "Ship B: it moves “Conversion” by +12.3\u00a0%",
        ),
        (Message("metric_good", {"arm": "B", "metric": "M", "lower": 0.1, "upper": "∞"}), "by +10.0\u00a0% to ∞."),
        (Message("metric_undefined", {"arm": "B", "metric": "M", "reason": "no_variance"}), "Everybody in both arms"),
        (Message("guardrail_open", {"arm": "B", "metric": "M", "margin": None}), "(margin –)"),
        (Message("exposures_stopped", {"at": "2026-03-01T10:00:00+00:00"}), "since 1 Mar 2026, 10:00."),
        (Message("multi_arm_few", {"count": 3, "share": 0.0012}), "3 people were seen in two arms (0.1\u00a0%)"),
    ],
)
def test_words__message__is_a_sentence(message: Message | None, sentence: str) -> None:
    assert sentence in sentences.words(message)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.5, "0.500"), (0.0042, "0.0042"), (1e-30, "< 0.0001"), (0.0001, "0.0001")]
)
def test_p_value__number__never_rounds_to_zero(value: float | None, text: str) -> None:
    assert numbers.p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.1234, "+12.3\u00a0%"), (-0.1234, "−12.3\u00a0%"), (0.0, "±0.0\u00a0%"), (12.0, "+1,200.0\u00a0%")],
)
def test_signed_percent__number__carries_its_sign(value: float | None, text: str) -> None:
    assert numbers.signed_percent(value) == text


def test_percent__german__has_a_comma() -> None:
    with translation.override("de"):
        assert numbers.percent(0.1234) == "12,3\u00a0%"
        assert numbers.unlocalized(12.5) == "12.5"


@pytest.mark.parametrize(
    ("unit", "value", "effect"),
    [("share", "12.34\u00a0%", "+12.34 pp"), ("money", "0.12", "+0.12"), ("number", "0.1234", "+0.1234")],
)
def test_metric_value__unit__decides_the_form(unit: Any, value: str, effect: str) -> None:
    metric = make_metric(unit=unit)
    assert numbers.metric_value(0.1234, metric) == value
    assert numbers.metric_effect(0.1234, metric) == effect
    assert numbers.metric_effect(-0.5, metric).startswith("−")
    assert numbers.metric_value(None, metric) == numbers.metric_effect(None, metric) == "–"


def test_ranges__bounds__are_written_out() -> None:
    metric = make_metric()
    assert numbers.percent_range(Bounds(-0.1, 0.25, 0.95)) == "−10.0\u00a0% to +25.0\u00a0%"
    assert numbers.percent_range(Bounds(None, 0.25, 0.95)) == "– to +25.0\u00a0%"
    assert numbers.effect_range(Bounds(-0.01, 0.02, 0.95), metric) == "−1.00 pp to +2.00 pp"
    assert numbers.percent_range(None) == numbers.effect_range(None, metric) == "–"
    assert numbers.point_range(SeriesPoint("2026-03-09", 1, 1, 0.1, -0.1, 0.3)) == "−10.0\u00a0% to +30.0\u00a0%"
    assert numbers.point_range(SeriesPoint("2026-03-09", 1, 1, 0.1, None, None)) == "–"


def test_incremental_text__interval__stands_beside() -> None:
    assert tags.incremental_text(make_comparison()) == "+20 (+1 to +40)"
    assert tags.incremental_text(make_comparison(incremental_ci=None)) == "+20"
    assert tags.incremental_text(make_comparison(incremental=-5.2, incremental_ci=Bounds(None, 1.0, 0.95))) == "−5"
    assert tags.incremental_text(make_comparison(incremental=None)) == "–"


def test_so_far__kind__decides_the_form() -> None:
    metric = make_metric()
    assert tags.so_far(metric.arms[0], metric) == "110 of 1,200"
    assert tags.so_far(metric.arms[0], make_metric(kind="mean", unit="money")) == "110.00"
    assert tags.so_far(metric.arms[0], make_metric(kind="count", unit="number")) == "110"


def test_names__keys__are_found_or_shown() -> None:
    report = make_report()
    assert tags.arm_name("treatment", report) == "Treatment"
    assert tags.arm_name("gone", report) == "gone"
    assert sentences.transition_name("start") == "Started"
    assert sentences.transition_name("other") == "other"
    assert sentences.role_name("guardrail") == "guardrail"
    assert sentences.role_name("other") == "other"
    assert sentences.outcome_name("ship") == "Ship"
    assert sentences.outcome_name("other") == "other"
    assert sentences.verdict_tone(report.verdict) == "continue"
    assert sentences.level_icon("bad") == "error"
    assert tags.expected_n(report, "control") == "1,205"
    assert tags.expected_n(report, "gone") == "–"
    assert numbers.days(9.5) == "9.5"
    assert numbers.days(None) == numbers.whole(None) == numbers.percent(None) == "–"


def test_estimate_rows__adjusted__says_what_it_saved() -> None:
    comparison = make_comparison(adjusted=make_estimate(variance_saved=0.25))
    assert [row.label for row in tags.estimate_rows(comparison)] == ["raw", "adjusted (25.0\u00a0% less variance)"]
    assert len(tags.estimate_rows(make_comparison())) == 1
    assert tags.comparison_of(make_metric(), "control") is None


@pytest.mark.parametrize(("value", "text"), [(112.9, "113"), (-3.6, "−4"), (0.4, "0"), (12_345.6, "12,346")])
def test_whole__fraction__is_rounded_and_not_cut_off(value: float, text: str) -> None:
    assert numbers.whole(value) == text
