from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.stats.decision import (
    CLEAR_SIGNALS,
    DO_NO_HARM,
    Condition,
    Decision,
    Evidence,
    Quantifier,
    Role,
    Rule,
    Rulebook,
    Signal,
    Situation,
    Verdict,
    decide,
    overall,
    signal_of,
)
from experiments.stats.findings import SENTENCES, Finding, FindingCode, sentence

BETTER = Evidence("conversion", Role.PRIMARY, 0.01, 0.09, is_always_valid=True)
WORSE = Evidence("conversion", Role.PRIMARY, -0.09, -0.01, is_always_valid=True)
OPEN = Evidence("conversion", Role.PRIMARY, -0.02, 0.09, mde=0.05, is_always_valid=True)
SMALL = Evidence("conversion", Role.PRIMARY, -0.02, 0.03, mde=0.05, is_always_valid=True)
SAFE = Evidence("refunds", Role.GUARDRAIL, -0.01, 0.004, increase_is_good=False, margin=0.01, is_always_valid=True)
UNPROVEN = Evidence("refunds", Role.GUARDRAIL, -0.01, 0.02, increase_is_good=False, margin=0.01, is_always_valid=True)
HARMED = Evidence("refunds", Role.GUARDRAIL, 0.012, 0.03, increase_is_good=False, margin=0.01, is_always_valid=True)


def situation(*evidence: Evidence, **changes: Any) -> Situation:
    given: dict[str, Any] = {"units": 10_000, "planned_units": 20_000, "days": 10, **changes}
    return Situation(evidence, **given)


def codes(decision: Decision) -> list[FindingCode]:
    return [finding.code for finding in decision.findings]


@pytest.mark.parametrize(
    ("evidence", "signal"),
    [
        (BETTER, Signal.GOOD),
        (WORSE, Signal.BAD),
        (OPEN, Signal.UNCLEAR),
        (SMALL, Signal.FUTILE),
        (SAFE, Signal.SAFE),
        (UNPROVEN, Signal.UNPROVEN),
        (HARMED, Signal.HARMED),
        (Evidence("m", Role.PRIMARY, -0.2, -0.1, increase_is_good=False), Signal.GOOD),
        (Evidence("m", Role.PRIMARY, 0.1, None), Signal.GOOD),
        (Evidence("m", Role.PRIMARY, None, -0.1), Signal.BAD),
        (Evidence("m", Role.PRIMARY, 0.1, 0.2, p_value=0.06), Signal.UNCLEAR),
        (Evidence("m", Role.PRIMARY, 0.1, 0.2, p_value=0.05), Signal.GOOD),
        (Evidence("m", Role.PRIMARY), Signal.UNDEFINED),
        (Evidence("m", Role.PRIMARY, 0.1, 0.2, is_drifting=True), Signal.UNDEFINED),
        (Evidence("m", Role.PRIMARY, 0.1, 0.2, undefined_reason="no_variance"), Signal.UNDEFINED),
        (Evidence("g", Role.GUARDRAIL, -0.1, 0.2), Signal.UNCLEAR),
        (Evidence("g", Role.GUARDRAIL, 0.1, 0.2), Signal.SAFE),
        (Evidence("g", Role.GUARDRAIL, -0.2, -0.1), Signal.HARMED),
        (Evidence("g", Role.GUARDRAIL, -0.03, -0.01, margin=0.05), Signal.SAFE),
        (Evidence("g", Role.GUARDRAIL, -0.3, -0.1, margin=0.05, p_value=0.2), Signal.UNPROVEN),
        (Evidence("g", Role.GUARDRAIL, 0.006, 0.01, ceiling=0.005), Signal.HARMED),
        (Evidence("g", Role.GUARDRAIL, None, 0.01, ceiling=0.005), Signal.UNPROVEN),
        (Evidence("g", Role.GUARDRAIL, 0.001, None, ceiling=0.005), Signal.UNPROVEN),
        (Evidence("g", Role.GUARDRAIL, 0.0, 0.005, ceiling=0.005), Signal.SAFE),
    ],
)
def test_signal_of__each_kind_of_evidence__is_named(evidence: Evidence, signal: Signal) -> None:
    assert signal_of(evidence) is signal


@pytest.mark.parametrize("rulebook", [CLEAR_SIGNALS, DO_NO_HARM])
def test_decide__better_and_guardrails_safe__ships_at_any_look(rulebook: Rulebook) -> None:
    decision = decide(situation(BETTER, SAFE), rulebook=rulebook)
    assert decision.verdict is Verdict.SHIP
    assert codes(decision) == [FindingCode.METRIC_GOOD, FindingCode.GUARDRAIL_SAFE]
    assert decision.signals == (("conversion", Signal.GOOD), ("refunds", Signal.SAFE))


@pytest.mark.parametrize("rulebook", [CLEAR_SIGNALS, DO_NO_HARM])
@pytest.mark.parametrize("evidence", [(BETTER, HARMED), (WORSE, SAFE)])
def test_decide__harm__stops_at_any_look(rulebook: Rulebook, evidence: tuple[Evidence, ...]) -> None:
    assert decide(situation(*evidence, days=1), rulebook=rulebook).verdict is Verdict.STOP


def test_decide__better_but_guardrail_not_proven__waits_and_then_asks_a_person() -> None:
    waiting = decide(situation(BETTER, UNPROVEN))
    assert waiting.verdict is Verdict.CONTINUE
    assert FindingCode.GUARDRAIL_UNPROVEN in codes(waiting)
    at_the_end = decide(situation(BETTER, UNPROVEN, units=20_000))
    assert at_the_end.verdict is Verdict.UNDECIDED
    assert FindingCode.NO_RULE_MATCHED in codes(at_the_end)


def test_decide__guardrail_without_margin__does_not_block_but_says_so() -> None:
    decision = decide(situation(BETTER, Evidence("refunds", Role.GUARDRAIL, -0.1, 0.1, is_always_valid=True)))
    assert decision.verdict is Verdict.SHIP
    assert FindingCode.GUARDRAIL_WITHOUT_MARGIN in codes(decision)


def test_decide__secondary_worse__does_not_ship() -> None:
    decision = decide(situation(BETTER, Evidence("revenue", Role.SECONDARY, -2.0, -1.0, is_always_valid=True)))
    assert decision.verdict is Verdict.CONTINUE
    assert FindingCode.METRIC_BAD in codes(decision)


def test_decide__fixed_horizon_evidence_too_early__is_not_used() -> None:
    fixed = Evidence("conversion", Role.PRIMARY, 0.01, 0.09)
    guard = Evidence("refunds", Role.GUARDRAIL, 0.0, 0.1, margin=0.01)
    plain = Evidence("calls", Role.GUARDRAIL, -0.2, -0.1)
    early = decide(situation(fixed, guard, plain))
    assert early.verdict is Verdict.CONTINUE
    assert [signal for _, signal in early.signals] == [Signal.UNCLEAR, Signal.UNPROVEN, Signal.UNCLEAR]
    assert codes(early)[-1] is FindingCode.BEFORE_PLANNED_SIZE
    assert decide(situation(fixed, guard, units=20_000)).verdict is Verdict.SHIP


def test_decide__ship_before_a_full_week__continues() -> None:
    decision = decide(situation(BETTER, days=3))
    assert decision.verdict is Verdict.CONTINUE
    assert FindingCode.BEFORE_MINIMUM_DAYS in codes(decision)


def test_decide__effect_of_the_plan_ruled_out__stops_at_the_planned_size() -> None:
    assert decide(situation(SMALL)).verdict is Verdict.CONTINUE
    assert decide(situation(SMALL, units=20_000)).verdict is Verdict.STOP


def test_decide__nothing_clear_at_the_planned_size__depends_on_the_rulebook() -> None:
    assert decide(situation(OPEN, SAFE, units=20_000)).verdict is Verdict.UNDECIDED
    assert decide(situation(OPEN, SAFE, units=20_000), rulebook=DO_NO_HARM).verdict is Verdict.SHIP
    assert decide(situation(OPEN, UNPROVEN, units=20_000), rulebook=DO_NO_HARM).verdict is Verdict.UNDECIDED
    assert decide(situation(OPEN, SAFE), rulebook=DO_NO_HARM).verdict is Verdict.CONTINUE


def test_decide__no_planned_size__never_completes() -> None:
    decision = decide(situation(OPEN, planned_units=None, units=10**9))
    assert decision.verdict is Verdict.CONTINUE
    assert codes(decision) == [FindingCode.METRIC_UNCLEAR]


def test_decide__health_problem__decides_nothing() -> None:
    decision = decide(situation(BETTER, blocking_problems=("sample-ratio mismatch",)))
    assert decision.verdict is Verdict.UNDECIDED
    assert [sentence(f) for f in decision.findings] == ["The data cannot be trusted: sample-ratio mismatch."]


def test_decide__no_primary_metric__is_undecided() -> None:
    assert codes(decide(situation(SAFE))) == [FindingCode.NO_PRIMARY]


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (
            Evidence("conversion", Role.PRIMARY, undefined_reason="too_few_events", events=12, events_needed=25),
            "conversion has not enough data: 12 of 25.",
        ),
        (
            Evidence("conversion", Role.PRIMARY, events_needed=25),
            "conversion has not enough data: 0 of 25.",
        ),
        (
            Evidence("conversion", Role.PRIMARY, is_drifting=True),
            "The effect on conversion is drifting: looks contradict each other.",
        ),
        (
            Evidence("conversion", Role.PRIMARY, undefined_reason="no_variance"),
            "conversion has no result: no_variance.",
        ),
        (Evidence("conversion", Role.PRIMARY), "conversion has no result: no interval."),
        (
            Evidence("conversion", Role.PRIMARY, None, 0.2, is_always_valid=True),
            "conversion is not clear yet: −∞ to 0.2.",
        ),
        (
            Evidence("conversion", Role.PRIMARY, -0.2, None, is_always_valid=True),
            "conversion is not clear yet: -0.2 to ∞.",
        ),
    ],
)
def test_decide__undefined_or_open_evidence__is_explained(evidence: Evidence, text: str) -> None:
    assert sentence(decide(situation(evidence)).findings[0]) == text


def test_decide__guardrail_ceiling__is_told_with_its_limit() -> None:
    guard = Evidence("complaints", Role.GUARDRAIL, 0.006, 0.01, ceiling=0.005, is_always_valid=True)
    finding = decide(situation(OPEN, guard)).findings[1]
    assert dict(finding.parameters)["margin"] == 0.005
    harmed = Evidence("calls", Role.GUARDRAIL, -0.2, -0.1, is_always_valid=True)
    assert dict(decide(situation(OPEN, harmed)).findings[1].parameters)["margin"] == 0.0


def test_decide__own_rulebook__is_followed() -> None:
    impatient = Rulebook(
        "impatient",
        (
            Rule(
                Verdict.SHIP,
                (Condition(Role.PRIMARY, Quantifier.ALL, frozenset({Signal.GOOD, Signal.UNCLEAR})),),
            ),
        ),
        otherwise=Verdict.STOP,
    )
    assert decide(situation(OPEN), rulebook=impatient).verdict is Verdict.SHIP
    assert decide(situation(WORSE, units=20_000), rulebook=impatient).verdict is Verdict.STOP


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"a": Verdict.SHIP, "b": Verdict.STOP}, (Verdict.SHIP, "a")),
        ({"a": Verdict.STOP, "b": Verdict.STOP}, (Verdict.STOP, None)),
        ({"a": Verdict.CONTINUE, "b": Verdict.STOP}, (Verdict.CONTINUE, None)),
        ({"a": Verdict.UNDECIDED, "b": Verdict.STOP}, (Verdict.UNDECIDED, None)),
        ({}, (Verdict.UNDECIDED, None)),
    ],
)
def test_overall__verdicts_of_the_arms__become_one(
    verdicts: dict[str, Verdict], expected: tuple[Verdict, str | None]
) -> None:
    decisions = {arm: Decision(verdict, (), ()) for arm, verdict in verdicts.items()}
    assert overall(decisions, {"a": 0.1}) == expected


BOUNDS = st.one_of(st.none(), st.floats(-0.2, 0.2))
EVIDENCE = st.builds(
    Evidence,
    metric=st.sampled_from(["a", "b", "c"]),
    role=st.sampled_from(Role),
    lower=BOUNDS,
    upper=BOUNDS,
    increase_is_good=st.booleans(),
    p_value=st.one_of(st.none(), st.floats(0, 1)),
    mde=st.one_of(st.none(), st.floats(0.01, 0.2)),
    margin=st.one_of(st.none(), st.floats(0, 0.1)),
    ceiling=st.one_of(st.none(), st.floats(0.01, 0.1)),
    is_always_valid=st.booleans(),
    is_drifting=st.booleans(),
)


@given(
    evidence=st.lists(EVIDENCE, max_size=5),
    units=st.integers(0, 30_000),
    planned=st.one_of(st.none(), st.just(20_000)),
    days=st.integers(0, 30),
    rulebook=st.sampled_from([CLEAR_SIGNALS, DO_NO_HARM]),
)
def test_decide__any_situation__never_ships_harm_or_doubt(
    evidence: list[Evidence], units: int, planned: int | None, days: int, rulebook: Rulebook
) -> None:
    decision = decide(situation(*evidence, units=units, planned_units=planned, days=days), rulebook=rulebook)
    assert all(sentence(finding) for finding in decision.findings)
    if decision.verdict is Verdict.SHIP:
        signals = {signal for _, signal in decision.signals}
        assert not signals & {Signal.HARMED, Signal.UNPROVEN, Signal.BAD}
        assert days >= 7
        assert Signal.GOOD in signals or rulebook is DO_NO_HARM


def test_sentences__every_code__has_one() -> None:
    assert set(SENTENCES) == set(FindingCode)
    assert sentence(Finding(FindingCode.NO_PRIMARY)) == "No primary metric was declared."
