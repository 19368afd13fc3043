"""The stored form of a report: JSON and back, one decoder for each schema version."""

from __future__ import annotations

import json

import pytest

from experiments.reports import Guardrail, Message, ReportError, decode_report, encode_report
from tests.experiments.reports import make_comparison, make_estimate, make_health, make_metric, make_report


def test_decode_report__encoded_and_through_json__is_equal() -> None:
    guardrail = Guardrail("held", 0.1, Message("guardrail_held", {"margin": 0.1}))
    comparison = make_comparison(adjusted=make_estimate(variance_saved=0.3), guardrail=guardrail, true_lift=0.25)
    report = make_report(
        metrics=(make_metric(comparisons=(comparison,), covariates=("conversion",)),),
        health=make_health(phases=(make_health().srm,)),
    )
    assert decode_report(json.loads(json.dumps(encode_report(report)))) == report


def test_decode_report__another_schema__refused() -> None:
    with pytest.raises(ReportError, match="schema 99"):
        decode_report({**encode_report(make_report()), "schema": 99})


@pytest.mark.parametrize("data", [{"schema": 1}, {"schema": 1, "surprise": 2}])
def test_decode_report__not_a_report__refused(data: dict[str, int]) -> None:
    with pytest.raises(ReportError, match="not a report"):
        decode_report(data)


def test_report__questions_about_parts__answered() -> None:
    report = make_report()
    assert report.primary is report.metrics[0]
    assert report.control is report.arms[0]
    assert report.exposed_n == 2_410
    assert make_report(metrics=(), arms=()).primary is None
    assert make_report(metrics=(), arms=()).control is None


def test_deciding__with_an_adjusted_estimate__is_that_one() -> None:
    adjusted = make_estimate(effect=0.5)
    assert make_comparison(adjusted=adjusted).deciding is adjusted
    assert make_comparison().deciding.effect == 0.02
