"""The verdict: the rulebook of `stats.decision` on what was found, as codes that pages put into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from experiments.models import Experiment, ExperimentMetric
from experiments.reports import (
    AlwaysValid,
    Bounds,
    ComparisonReport,
    Estimate,
    Guardrail,
    HealthReport,
    Level,
    Message,
    MetricReport,
    Verdict,
)
from experiments.services.analysis_plan import DecidingScale, Rules
from experiments.stats import decision
from experiments.stats.findings import Finding, FindingCode
from experiments.stats.guardrail import ceiling_test, sequential_ceiling_test

Status = Literal["held", "harmed", "open"]
RULEBOOKS: Final[dict[Rules, decision.Rulebook]] = {
    "clear_signals": decision.CLEAR_SIGNALS,
    "do_no_harm": decision.DO_NO_HARM,
}
# A week has its own rhythm: what was seen on five weekdays need not hold on the weekend.
MINIMUM_DAYS: Final = 7
_STATUS: Final[dict[decision.Signal, Status]] = {
    decision.Signal.SAFE: "held",
    decision.Signal.HARMED: "harmed",
}
# What keeps an arm that is better from being shipped (`stats.decision.CLEAR_SIGNALS`).
_DOUBTS: Final = frozenset(
    {decision.Signal.HARMED, decision.Signal.UNPROVEN, decision.Signal.UNDEFINED, decision.Signal.BAD}
)
_LEVELS: Final[dict[FindingCode, Level]] = {
    FindingCode.METRIC_GOOD: "good",
    FindingCode.METRIC_BAD: "bad",
    FindingCode.GUARDRAIL_SAFE: "good",
    FindingCode.GUARDRAIL_HARMED: "bad",
    FindingCode.GUARDRAIL_UNPROVEN: "warning",
    FindingCode.METRIC_DRIFTING: "warning",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What is the same for every metric and arm of a verdict."""

    alpha: float
    mde: float | None
    scale: DecidingScale
    rules: Rules
    is_single_look: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the experiment has come."""

    units: int
    planned_units: int | None
    days: int
    has_ended: bool


def judge_guardrail(
    *,
    use: ExperimentMetric,
    arm: str,
    estimate: Estimate,
    always_valid: AlwaysValid,
    frame: Frame,
    counts: tuple[int, int] = (0, 0),
) -> Guardrail | None:
    """Non-inferiority against the margin: *not significant* is not *safe*. None for other roles.

    With a ceiling the treated arm's own rate is judged: `counts` are its people whose window has closed, those with
    the event first.
    """
    if use.role != ExperimentMetric.Role.GUARDRAIL:
        return None
    if use.ceiling is not None:
        return _judge_ceiling(use=use, arm=arm, ceiling=use.ceiling, frame=frame, counts=counts)
    evidence = _evidence(
        name=use.metric.name,
        role=use.role,
        direction=use.metric.direction,
        margin=use.margin,
        estimate=estimate,
        always_valid=always_valid,
        frame=frame,
        p_value=None,
    )
    signal = decision.signal_of(evidence)
    status: Status = _STATUS.get(signal, "open")
    parameters = {
        "arm": arm,
        "metric": use.metric.name,
        "margin": use.margin,
        "lower": evidence.lower,
        "upper": evidence.upper,
    }
    levels: dict[str, Level] = {"held": "good", "harmed": "bad", "open": "info"}
    return Guardrail(
        status=status, margin=use.margin, message=Message(f"guardrail_{status}", parameters, level=levels[status])
    )


def _judge_ceiling(
    *, use: ExperimentMetric, arm: str, ceiling: float, frame: Frame, counts: tuple[int, int]
) -> Guardrail:
    events, units = counts
    test = ceiling_test if frame.is_single_look else sequential_ceiling_test
    found = test(events, units, ceiling=ceiling, alpha=frame.alpha)
    rate_ci = Bounds(float(found.interval.lower), float(found.interval.upper), found.interval.level) if units else None
    signal = decision.signal_of(_ceiling_evidence(use.metric.name, ceiling=ceiling, rate_ci=rate_ci, frame=frame))
    status: Status = _STATUS.get(signal, "open")
    parameters = {
        "arm": arm,
        "metric": use.metric.name,
        "ceiling": ceiling,
        "rate": events / units if units else None,
        "rate_from": rate_ci.lower if rate_ci is not None else None,
        "rate_to": rate_ci.upper if rate_ci is not None else None,
    }
    levels: dict[str, Level] = {"held": "good", "harmed": "bad", "open": "info"}
    code = f"ceiling_{status}" if units else "ceiling_empty"
    return Guardrail(
        status=status,
        margin=None,
        message=Message(code, parameters, level=levels[status]),
        ceiling=ceiling,
        rate=events / units if units else None,
        rate_ci=rate_ci,
    )


def _ceiling_evidence(name: str, *, ceiling: float, rate_ci: Bounds | None, frame: Frame) -> decision.Evidence:
    return decision.Evidence(
        metric=name,
        role=decision.Role.GUARDRAIL,
        lower=rate_ci.lower if rate_ci is not None else None,
        upper=rate_ci.upper if rate_ci is not None else None,
        alpha=frame.alpha,
        ceiling=ceiling,
        is_always_valid=not frame.is_single_look,
        undefined_reason=None if rate_ci is not None else "no_window_closed",
    )


def judge(
    *,
    experiment: Experiment,
    metrics: Sequence[MetricReport],
    health: HealthReport,
    frame: Frame,
    progress: Progress,
) -> Verdict:
    """Ship, stop, continue or undecided; an unhealthy experiment gets no verdict.

    The p-values of several treatments on the primary metric are one family (Holm 1979).
    """
    primary = next((metric for metric in metrics if metric.role == "primary"), None)
    if primary is None or not primary.comparisons:
        return Verdict("undecided", None, Message("nothing_to_compare", level="warning"), ())
    if why := _no_control(experiment, primary):
        return Verdict("undecided", None, Message("no_control", {"reason": why}, level="warning"), ())
    if not health.is_healthy:
        reasons = tuple(message for message in health.messages if message.level == "bad")
        return Verdict("undecided", None, Message("not_healthy", level="bad"), reasons)
    names = dict(experiment.arms.values_list("key", "name"))
    situations = _situations(metrics, primary, frame=frame, progress=progress)
    decisions = {
        arm: decision.decide(situation, rulebook=RULEBOOKS[frame.rules]) for arm, situation in situations.items()
    }
    sign = 1 if primary.direction == "up" else -1
    effects = {one.arm: sign * (one.deciding.effect or 0.0) for one in primary.comparisons}
    outcome, arm = decision.overall(decisions, effects)
    if outcome is decision.Verdict.CONTINUE and progress.has_ended:
        outcome = decision.Verdict.UNDECIDED
    reasons = tuple(
        _message(finding, arm=names[key]) for key, decided in decisions.items() for finding in decided.findings
    )
    return Verdict(
        outcome=outcome.value,
        arm=arm,
        headline=_headline(outcome, primary, decisions, arm=arm, names=names, progress=progress),
        reasons=_in_order(_without_repeats(reasons, is_single_look=frame.is_single_look)),
    )


def _no_control(experiment: Experiment, primary: MetricReport) -> str:
    """Why nobody was to be in the control, as the plan says; empty where somebody was."""
    weights = experiment.plan.get("weights", {})
    is_empty = weights.get(primary.comparisons[0].control) == 0.0
    return str(experiment.plan.get("no_control_reason", "")) if is_empty else ""


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down p-values; an undefined one stays in the family as if it were 1.

    `experiments.stats.multiplicity` has the rest of the methods, on top of statsmodels, which would
    cost each worker three seconds and 100 MB for these five lines.
    """
    known = [1.0 if p_value is None else p_value for p_value in p_values]
    order = sorted(range(len(known)), key=known.__getitem__)
    adjusted: list[float | None] = [None] * len(known)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, known[index] * (len(known) - rank)))
        adjusted[index] = None if p_values[index] is None else running
    return adjusted


def _situations(
    metrics: Sequence[MetricReport], primary: MetricReport, *, frame: Frame, progress: Progress
) -> dict[str, decision.Situation]:
    adjusted = holm([_p_value(one, frame) for one in primary.comparisons])
    family = {one.arm: p_value for one, p_value in zip(primary.comparisons, adjusted, strict=True)}
    return {
        arm: decision.Situation(
            evidence=tuple(
                _comparison_evidence(metric, one, frame, p_value=family[arm] if metric is primary else None)
                for metric in metrics
                for one in metric.comparisons
                if one.arm == arm
            ),
            units=progress.units,
            planned_units=progress.units if frame.is_single_look else progress.planned_units,
            days=progress.days,
            minimum_days=0 if frame.is_single_look else MINIMUM_DAYS,
        )
        for arm in family
    }


def _p_value(comparison: ComparisonReport, frame: Frame) -> float | None:
    if not frame.is_single_look:
        return comparison.always_valid.p_value
    estimate = comparison.deciding
    return estimate.lift_p_value if frame.scale == "relative" else estimate.p_value


def _comparison_evidence(
    metric: MetricReport, comparison: ComparisonReport, frame: Frame, *, p_value: float | None
) -> decision.Evidence:
    guardrail = comparison.guardrail
    if guardrail is not None and guardrail.ceiling is not None:
        return _ceiling_evidence(metric.name, ceiling=guardrail.ceiling, rate_ci=guardrail.rate_ci, frame=frame)
    return _evidence(
        name=metric.name,
        role=metric.role,
        direction=metric.direction,
        margin=guardrail.margin if guardrail is not None else None,
        estimate=comparison.deciding,
        always_valid=comparison.always_valid,
        frame=frame,
        p_value=p_value,
    )


def _evidence(
    *,
    name: str,
    role: str,
    direction: str,
    margin: float | None,
    estimate: Estimate,
    always_valid: AlwaysValid,
    frame: Frame,
    p_value: float | None,
) -> decision.Evidence:
    """One metric of one arm, on the relative scale."""
    bounds = _relative_bounds(estimate, always_valid, frame)
    reason = estimate.lift_reason if frame.is_single_look else always_valid.reason
    refused = reason is not None and reason.code == "too_few_events"
    return decision.Evidence(
        metric=name,
        role=decision.Role(role),
        lower=bounds.lower if bounds else None,
        upper=bounds.upper if bounds else None,
        increase_is_good=direction == "up",
        p_value=p_value,
        alpha=frame.alpha,
        mde=frame.mde if role == "primary" else None,
        margin=margin,
        is_always_valid=not frame.is_single_look,
        is_drifting=reason is not None and reason.code == "effect_is_drifting",
        undefined_reason=reason.code if reason is not None and bounds is None else None,
        events=reason.parameters["found"] if reason is not None and refused else None,
        events_needed=reason.parameters["needed"] if reason is not None and refused else None,
    )


def _relative_bounds(estimate: Estimate, always_valid: AlwaysValid, frame: Frame) -> Bounds | None:
    """The deciding interval; one of the absolute scale is told in shares of the control mean."""
    if frame.scale == "relative":
        return estimate.lift_ci if frame.is_single_look else always_valid.lift_ci
    bounds = estimate.effect_ci if frame.is_single_look else always_valid.effect_ci
    base = estimate.mean_control
    if bounds is None or bounds.lower is None or bounds.upper is None or base is None or base <= 0:
        return None
    return Bounds(bounds.lower / base, bounds.upper / base, bounds.level)


def _message(finding: Finding, *, arm: str) -> Message:
    parameters = {**dict(finding.parameters), "arm": arm}
    if finding.code is FindingCode.METRIC_UNDEFINED:
        parameters["reason"] = str(parameters["reason"])
    return Message(finding.code.value, parameters, level=_LEVELS.get(finding.code, "info"))


def _without_repeats(reasons: tuple[Message, ...], *, is_single_look: bool) -> tuple[Message, ...]:
    """What is true of the experiment is told once, not once for each arm."""
    general = {
        FindingCode.BEFORE_PLANNED_SIZE.value,
        FindingCode.PLANNED_SIZE_REACHED.value,
        FindingCode.BEFORE_MINIMUM_DAYS.value,
        FindingCode.NO_RULE_MATCHED.value,
    }
    kept: list[Message] = []
    seen: set[str] = {FindingCode.PLANNED_SIZE_REACHED.value} if is_single_look else set()
    for message in reasons:
        if message.code in general and message.code in seen:
            continue
        seen.add(message.code)
        kept.append(message)
    return tuple(kept)


def _in_order(reasons: tuple[Message, ...]) -> tuple[Message, ...]:
    """What is bad comes first, what is merely so comes last."""
    order: dict[Level, int] = {"bad": 0, "warning": 1, "good": 2, "info": 3}
    return tuple(sorted(reasons, key=lambda message: order[message.level]))


def _headline(
    outcome: decision.Verdict,
    primary: MetricReport,
    decisions: dict[str, decision.Decision],
    *,
    arm: str | None,
    names: dict[str, str],
    progress: Progress,
) -> Message:
    if outcome is decision.Verdict.SHIP and arm is not None:
        lift = next(one.deciding.lift for one in primary.comparisons if one.arm == arm)
        return Message("ship", {"arm": names[arm], "metric": primary.name, "lift": lift}, level="good")
    signals = {key: dict(decided.signals) for key, decided in decisions.items()}
    if outcome is decision.Verdict.STOP:
        return _stop_headline(primary, list(signals.values()), names=[names[key] for key in decisions])
    parameters = {"found": progress.units, "needed": progress.planned_units, "metric": primary.name}
    good = next((key for key, signal in signals.items() if signal[primary.name] is decision.Signal.GOOD), None)
    if good is not None:
        return _waiting_headline(outcome, primary, signals[good], arm=names[good], progress=progress)
    if outcome is decision.Verdict.CONTINUE:
        return Message("continue" if progress.units else "continue_empty", parameters)
    return Message("ended" if progress.has_ended else "undecided", parameters, level="warning")


def _waiting_headline(
    outcome: decision.Verdict,
    primary: MetricReport,
    signals: dict[str, decision.Signal],
    *,
    arm: str,
    progress: Progress,
) -> Message:
    """The primary metric is better: name what stands between that and shipping."""
    parameters = {"arm": arm, "metric": primary.name}
    doubts = [name for name, signal in signals.items() if name != primary.name and signal in _DOUBTS]
    if doubts:
        code = "continue_doubt" if outcome is decision.Verdict.CONTINUE else "undecided_doubt"
        return Message(code, {**parameters, "guardrail": doubts[0]}, level="warning")
    days = {"days": progress.days, "needed": MINIMUM_DAYS}
    if outcome is decision.Verdict.CONTINUE:
        return Message("continue_early", {**parameters, **days})
    return Message("undecided_early", {**parameters, **days}, level="warning")


def _stop_headline(
    primary: MetricReport, signals: Sequence[dict[str, decision.Signal]], *, names: Sequence[str]
) -> Message:
    """Why no arm may go on: harm to a guardrail, harm to the metric itself, or no effect worth having."""
    harmed = sorted({name for signal in signals for name, found in signal.items() if found is decision.Signal.HARMED})
    if harmed:
        parameters = {"arm": ", ".join(names), "metric": primary.name, "guardrail": harmed[0]}
        return Message("guardrail_blocks", parameters, level="bad")
    if any(signal[primary.name] is decision.Signal.BAD for signal in signals):
        return Message("stop_harm", {"metric": primary.name}, level="bad")
    return Message("stop_flat", {"metric": primary.name}, level="bad")
