"""From results to a verdict: ship, stop, continue or undecided, with the reasons.

Three steps, each visible in the result: every metric gets a *signal* from its interval, the signals
are matched against the *rules* of a rulebook (first match wins), and what happened is told as
findings: a code with its parameters, so that the caller can translate.
`experiments.stats.findings.sentence` gives English.

The rules understand when evidence may be used. Always-valid evidence may at every look;
fixed-horizon evidence only once the planned size is reached, because until then its error rate is
that of peeking. Nothing here knows how often it was asked: fixed-horizon evidence is for one look, so
whoever asks again after the planned size passes that look's evidence again, not that of more people.
(Holdout's running experiments decide on always-valid evidence; an imported, finished one has a single
look.) Health comes first: nothing is decided on data that cannot be trusted.

Sources: the two presets follow the practice described in Kohavi, Tang & Xu, "Trustworthy Online
Controlled Experiments" (2020), chapters 2 and 21, and Schultzberg et al. (2024) for guardrails,
which must be shown not to be harmed rather than merely not shown to be harmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from experiments.stats.findings import Finding, FindingCode, tell


class Verdict(StrEnum):
    """What to do."""

    SHIP = "ship"
    STOP = "stop"
    CONTINUE = "continue"
    UNDECIDED = "undecided"


class Role(StrEnum):
    """What a metric does in this experiment."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GUARDRAIL = "guardrail"


class Signal(StrEnum):
    """What one metric's interval says."""

    GOOD = "good"
    BAD = "bad"
    FUTILE = "futile"  # an effect as large as planned is ruled out
    UNCLEAR = "unclear"
    SAFE = "safe"  # guardrail: harm beyond the margin is ruled out
    HARMED = "harmed"
    UNPROVEN = "unproven"  # guardrail with a margin that is neither safe nor harmed
    UNDEFINED = "undefined"


class Quantifier(StrEnum):
    """How many metrics of a role must carry a signal; a role without metrics satisfies none and all."""

    ANY = "any"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one metric for one treatment; all numbers on one scale.

    `lower` and `upper` bound the effect (`None`: undefined, or open on that side). `p_value`, if
    given, is the one adjusted for the declared family and must also be ≤ `alpha` for a signal.
    `mde` is the smallest effect the plan cared about, positive, on the same scale. A guardrail has
    a `margin` (the harm that is tolerated, positive), or a `ceiling`, and then the bounds are those
    of the treated arm's own rate.
    """

    metric: str
    role: Role
    lower: float | None = None
    upper: float | None = None
    increase_is_good: bool = True
    p_value: float | None = None
    alpha: float = 0.05
    mde: float | None = None
    margin: float | None = None
    ceiling: float | None = None
    is_always_valid: bool = False
    is_drifting: bool = False
    undefined_reason: str | None = None
    events: int | None = None
    events_needed: int | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """One treatment of an experiment at one moment."""

    evidence: tuple[Evidence, ...]
    units: int
    planned_units: int | None = None
    days: int = 0
    minimum_days: int = 7
    blocking_problems: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the planned size is reached; without a plan it never is."""
        return self.planned_units is not None and self.units >= self.planned_units


@dataclass(frozen=True, slots=True)
class Condition:
    """`quantifier` of the metrics of `role` carry one of `signals`."""

    role: Role
    quantifier: Quantifier
    signals: frozenset[Signal]


@dataclass(frozen=True, slots=True)
class Rule:
    """If all conditions hold, `verdict`; `at_planned_size` waits for the planned size."""

    verdict: Verdict
    conditions: tuple[Condition, ...]
    at_planned_size: bool = False


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Rules in order; the first that matches decides. `otherwise` holds at the planned size."""

    name: str
    rules: tuple[Rule, ...]
    otherwise: Verdict = Verdict.UNDECIDED


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict, why, and each metric's signal in the order of the evidence."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    signals: tuple[tuple[str, Signal], ...]


def _when(role: Role, quantifier: Quantifier, *signals: Signal) -> Condition:
    return Condition(role, quantifier, frozenset(signals))


_HARM = (
    Rule(Verdict.STOP, (_when(Role.GUARDRAIL, Quantifier.ANY, Signal.HARMED),)),
    Rule(Verdict.STOP, (_when(Role.PRIMARY, Quantifier.ANY, Signal.BAD),)),
)
_NO_DOUBT_ABOUT_GUARDRAILS = _when(Role.GUARDRAIL, Quantifier.NONE, Signal.HARMED, Signal.UNPROVEN, Signal.UNDEFINED)
_NO_SECONDARY_WORSE = _when(Role.SECONDARY, Quantifier.NONE, Signal.BAD)

# Ship only what was shown to be better; stop also when an effect worth having is ruled out.
CLEAR_SIGNALS = Rulebook(
    "clear signals",
    (
        *_HARM,
        Rule(
            Verdict.SHIP,
            (
                _when(Role.PRIMARY, Quantifier.ANY, Signal.GOOD),
                _NO_SECONDARY_WORSE,
                _NO_DOUBT_ABOUT_GUARDRAILS,
            ),
        ),
        Rule(Verdict.STOP, (_when(Role.PRIMARY, Quantifier.ALL, Signal.FUTILE),), at_planned_size=True),
    ),
)

# For changes that are wanted anyway: at the planned size ship unless something is worse.
DO_NO_HARM = Rulebook(
    "do no harm",
    (
        *_HARM,
        CLEAR_SIGNALS.rules[2],
        Rule(
            Verdict.SHIP,
            (
                _when(Role.PRIMARY, Quantifier.NONE, Signal.BAD, Signal.UNDEFINED),
                _NO_SECONDARY_WORSE,
                _NO_DOUBT_ABOUT_GUARDRAILS,
            ),
            at_planned_size=True,
        ),
    ),
)


def signal_of(evidence: Evidence) -> Signal:
    """What one metric says, whatever the moment.

    >>> signal_of(Evidence("conversion", Role.PRIMARY, 0.01, 0.09))
    <Signal.GOOD: 'good'>
    >>> signal_of(Evidence("unsubscribe", Role.GUARDRAIL, 0.001, 0.004, ceiling=0.005))
    <Signal.SAFE: 'safe'>
    """
    if evidence.is_drifting or evidence.undefined_reason or (evidence.lower is None and evidence.upper is None):
        return Signal.UNDEFINED
    lower, upper = _good_side(evidence)
    significant = evidence.p_value is None or evidence.p_value <= evidence.alpha
    if evidence.role is Role.GUARDRAIL:
        return _guardrail_signal(evidence, lower, upper, significant=significant)
    if significant and lower > 0:
        return Signal.GOOD
    if significant and upper < 0:
        return Signal.BAD
    if evidence.mde is not None and upper < evidence.mde:
        return Signal.FUTILE
    return Signal.UNCLEAR


def decide(situation: Situation, *, rulebook: Rulebook = CLEAR_SIGNALS) -> Decision:
    """The verdict on one treatment.

    Order: blocking health problems → undecided; then the rules over the evidence that may be used
    now; a matching "ship" waits for the minimum number of days; without a match the experiment
    continues until the planned size and the rulebook's `otherwise` holds then.

    >>> conversion = Evidence("conversion", Role.PRIMARY, 0.01, 0.09, is_always_valid=True)
    >>> told = decide(Situation((conversion,), units=5_000, planned_units=20_000, days=9))
    >>> told.verdict.value, [finding.code.value for finding in told.findings]
    ('ship', ['metric_good'])
    """
    if situation.blocking_problems:
        findings = tuple(tell(FindingCode.HEALTH_BLOCKS, problem=name) for name in situation.blocking_problems)
        return Decision(Verdict.UNDECIDED, findings, ())
    if not any(one.role is Role.PRIMARY for one in situation.evidence):
        return Decision(Verdict.UNDECIDED, (tell(FindingCode.NO_PRIMARY),), ())
    signals = tuple((one, _usable_signal(one, situation)) for one in situation.evidence)
    told = tuple(_explain(one, signal) for one, signal in signals)
    verdict, moment = _apply(rulebook, signals, situation)
    return Decision(verdict, told + moment, tuple((one.metric, signal) for one, signal in signals))


def overall(decisions: Mapping[str, Decision], effects: Mapping[str, float]) -> tuple[Verdict, str | None]:
    """One verdict for the experiment: ship the best shippable arm, stop only if every arm stops.

    `effects` are the primary effects with larger meaning better; the second item is the arm to ship.

    >>> ship, stop = Decision(Verdict.SHIP, (), ()), Decision(Verdict.STOP, (), ())
    >>> overall({"a": ship, "b": ship, "c": stop}, {"a": 0.02, "b": 0.05})[1]
    'b'
    """
    shippable = [arm for arm, decision in decisions.items() if decision.verdict is Verdict.SHIP]
    if shippable:
        return Verdict.SHIP, max(shippable, key=lambda arm: effects.get(arm, float("-inf")))
    verdicts = {decision.verdict for decision in decisions.values()}
    if verdicts == {Verdict.STOP}:
        return Verdict.STOP, None
    return (Verdict.CONTINUE if Verdict.CONTINUE in verdicts else Verdict.UNDECIDED), None


def _good_side(evidence: Evidence) -> tuple[float, float]:
    """Bounds turned so that larger is better; an open side is infinite."""
    lower = float("-inf") if evidence.lower is None else evidence.lower
    upper = float("inf") if evidence.upper is None else evidence.upper
    return (lower, upper) if evidence.increase_is_good else (-upper, -lower)


def _guardrail_signal(evidence: Evidence, lower: float, upper: float, *, significant: bool) -> Signal:
    if evidence.ceiling is not None:
        rate_lower = float("-inf") if evidence.lower is None else evidence.lower
        rate_upper = float("inf") if evidence.upper is None else evidence.upper
        if rate_lower > evidence.ceiling:
            return Signal.HARMED
        return Signal.SAFE if rate_upper <= evidence.ceiling else Signal.UNPROVEN
    if evidence.margin is not None and lower > -evidence.margin:
        return Signal.SAFE  # harm inside the margin is tolerated by the plan, even if it is certain
    if significant and upper < 0:
        return Signal.HARMED
    if evidence.margin is None:
        return Signal.SAFE if significant and lower > 0 else Signal.UNCLEAR
    return Signal.UNPROVEN


def _usable_signal(evidence: Evidence, situation: Situation) -> Signal:
    """The signal, or what stands for "not yet" where fixed-horizon evidence is looked at too early."""
    signal = signal_of(evidence)
    if evidence.is_always_valid or situation.is_complete or signal is Signal.UNDEFINED:
        return signal
    proven_later = evidence.role is Role.GUARDRAIL and (evidence.margin, evidence.ceiling) != (None, None)
    return Signal.UNPROVEN if proven_later else Signal.UNCLEAR


def _apply(
    rulebook: Rulebook, signals: tuple[tuple[Evidence, Signal], ...], situation: Situation
) -> tuple[Verdict, tuple[Finding, ...]]:
    moment: tuple[Finding, ...] = ()
    if situation.is_complete:
        moment = (tell(FindingCode.PLANNED_SIZE_REACHED, planned=situation.planned_units or 0),)
    for rule in rulebook.rules:
        if rule.at_planned_size and not situation.is_complete:
            continue
        if all(_holds(condition, signals) for condition in rule.conditions):
            if rule.verdict is Verdict.SHIP and situation.days < situation.minimum_days:
                early = tell(FindingCode.BEFORE_MINIMUM_DAYS, days=situation.days, needed=situation.minimum_days)
                return Verdict.CONTINUE, (*moment, early)
            return rule.verdict, moment
    if situation.is_complete:
        return rulebook.otherwise, (*moment, tell(FindingCode.NO_RULE_MATCHED))
    if situation.planned_units is None:
        return Verdict.CONTINUE, ()
    waiting = tell(FindingCode.BEFORE_PLANNED_SIZE, units=situation.units, planned=situation.planned_units)
    return Verdict.CONTINUE, (waiting,)


def _holds(condition: Condition, signals: tuple[tuple[Evidence, Signal], ...]) -> bool:
    matches = [signal in condition.signals for one, signal in signals if one.role is condition.role]
    if condition.quantifier is Quantifier.ANY:
        return any(matches)
    return all(matches) if condition.quantifier is Quantifier.ALL else not any(matches)


_CODES = {
    Signal.GOOD: FindingCode.METRIC_GOOD,
    Signal.BAD: FindingCode.METRIC_BAD,
    Signal.FUTILE: FindingCode.METRIC_FUTILE,
    Signal.UNCLEAR: FindingCode.METRIC_UNCLEAR,
    Signal.SAFE: FindingCode.GUARDRAIL_SAFE,
    Signal.HARMED: FindingCode.GUARDRAIL_HARMED,
    Signal.UNPROVEN: FindingCode.GUARDRAIL_UNPROVEN,
}


def _explain(evidence: Evidence, signal: Signal) -> Finding:
    if signal is Signal.UNDEFINED:
        return _explain_undefined(evidence)
    if evidence.role is Role.GUARDRAIL and signal is Signal.UNCLEAR:
        return tell(FindingCode.GUARDRAIL_WITHOUT_MARGIN, metric=evidence.metric)
    parameters: dict[str, str | int | float] = {
        "metric": evidence.metric,
        "lower": "−∞" if evidence.lower is None else evidence.lower,
        "upper": "∞" if evidence.upper is None else evidence.upper,
    }
    if evidence.role is Role.GUARDRAIL:
        limit = evidence.ceiling if evidence.ceiling is not None else evidence.margin
        parameters["margin"] = 0.0 if limit is None else limit
    return tell(_CODES[signal], **parameters)


def _explain_undefined(evidence: Evidence) -> Finding:
    if evidence.is_drifting:
        return tell(FindingCode.METRIC_DRIFTING, metric=evidence.metric)
    if evidence.events_needed is not None:
        return tell(
            FindingCode.LOOK_REFUSED, metric=evidence.metric, have=evidence.events or 0, needed=evidence.events_needed
        )
    return tell(FindingCode.METRIC_UNDEFINED, metric=evidence.metric, reason=evidence.undefined_reason or "no interval")
