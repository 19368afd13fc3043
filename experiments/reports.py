"""What a page, an e-mail or the JSON export shows: frozen, plain, with a schema version.

Words are kept as `Message` (a code and its parameters), so that they are translated where they
are shown. Undefined is `None` beside a message that says why.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

REPORT_SCHEMA = 1

Level = Literal["good", "info", "warning", "bad"]
Outcome = Literal["ship", "stop", "continue", "undecided"]


class ReportError(ValueError):
    """A stored report that no decoder of this version reads."""


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence: a code of the message catalogue and what goes into it."""

    code: str
    parameters: dict[str, Any] = field(default_factory=dict)
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Bounds:
    """An interval; `None` on a side that is open."""

    lower: float | None
    upper: float | None
    level: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """One arm against control on one metric, absolute and relative, at one horizon."""

    effect: float | None
    standard_error: float | None
    effect_ci: Bounds | None
    p_value: float | None
    lift: float | None
    lift_ci: Bounds | None
    lift_p_value: float | None
    df: float | None
    mean_control: float | None
    mean_arm: float | None
    variance_saved: float | None = None
    reason: Message | None = None
    lift_reason: Message | None = None


@dataclass(frozen=True, slots=True)
class AlwaysValid:
    """What may be read on any day: running minimum and running intersection over stored looks."""

    p_value: float | None
    effect_ci: Bounds | None
    lift_ci: Bounds | None
    looks_n: int
    refused_n: int
    reason: Message | None = None


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Whether harm beyond the margin is excluded (`held`), shown (`harmed`) or open."""

    status: Literal["held", "harmed", "open"]
    margin: float | None
    message: Message
    # Where the control cannot have it: the treated arm's own rate, its bounds and what it may reach.
    ceiling: float | None = None
    rate: float | None = None
    rate_ci: Bounds | None = None


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """Lift at the end of one day with that look's always-valid interval."""

    day: str
    n_control: int
    n_arm: int
    lift: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a sceptical prior N(0, `prior_sd`²) on the lift and the data say together; losses are in units of value.

    It means what it says at a planned size. Watching it daily is peeking like any other.
    """

    chance_to_win: float
    effect: float
    effect_ci: Bounds
    loss_ship: float
    loss_keep: float
    prior_sd: float


@dataclass(frozen=True, slots=True)
class AgeEffect:
    """The effect on one day since the first exposure, over everybody who has lived through it."""

    age: int
    n_control: int
    n_arm: int
    effect: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Novelty:
    """Whether the effect fades or grows with the days since exposure; neighbours correlate, so a trend is a hint."""

    trend: Literal["steady", "fading", "growing", "unknown"]
    p_value: float | None
    ages: tuple[AgeEffect, ...]


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """One arm against control on one metric."""

    arm: str
    control: str
    n_control: int
    n_arm: int
    raw: Estimate
    adjusted: Estimate | None
    always_valid: AlwaysValid
    guardrail: Guardrail | None
    incremental: float | None
    incremental_ci: Bounds | None
    true_lift: float | None
    series: tuple[SeriesPoint, ...] = ()
    daily: tuple[SeriesPoint, ...] = ()
    posterior: Posterior | None = None
    uncapped: Estimate | None = None
    novelty: Novelty | None = None

    @property
    def deciding(self) -> Estimate:
        """The estimate that the verdict rests on: adjusted where a covariate exists."""
        return self.adjusted or self.raw


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """One arm on one metric: people whose window has closed, and everybody so far."""

    arm: str
    exposed_n: int
    mature_n: int
    value: float | None
    total: float
    nonzero_n: int
    total_so_far: float
    nonzero_so_far_n: int


@dataclass(frozen=True, slots=True)
class MetricReport:
    """One metric of the plan over all arms."""

    key: str
    name: str
    role: Literal["primary", "secondary", "guardrail"]
    kind: Literal["proportion", "mean", "count", "ratio", "quantile", "retention", "funnel"]
    direction: Literal["up", "down"]
    unit: Literal["share", "money", "number"]
    window_hours: int
    arms: tuple[ArmTotals, ...]
    comparisons: tuple[ComparisonReport, ...]
    covariates: tuple[str, ...] = ()
    # The largest number that one unit could have at this look; fixed, or a percentile of everybody's.
    cap: float | None = None


@dataclass(frozen=True, slots=True)
class SegmentEffect:
    """One group of a breakdown, as its people stood at their first exposure; `p_adjusted` is Benjamini–Hochberg's."""

    value: str
    n_control: int
    n_arm: int
    lift: float | None
    lift_ci: Bounds | None
    p_value: float | None
    p_adjusted: float | None
    shrunk: float | None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The primary metric by a dimension of the plan; groups too small to be shown are only counted."""

    dimension: str
    arm: str
    interaction_p_value: float | None
    segments: tuple[SegmentEffect, ...]
    hidden_n: int


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One arm: designed weight, exposed units, and units left out because two arms saw them."""

    key: str
    name: str
    is_control: bool
    weight: float
    exposed_n: int
    multi_arm_n: int


@dataclass(frozen=True, slots=True)
class SrmReport:
    """Sample-ratio check of one phase (0 = all phases together).

    `p_value` is the chi-square's, for one look; `any_day_p_value` holds on all days together and is
    what blocks a verdict while an experiment runs.
    """

    phase: int
    p_value: float | None
    observed: dict[str, int]
    expected: dict[str, float]
    is_mismatch: bool
    any_day_p_value: float | None = None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What must be right before an effect may be believed."""

    is_healthy: bool
    srm: SrmReport
    phases: tuple[SrmReport, ...]
    multi_arm_n: int
    multi_arm_share: float | None
    last_exposure_at: str | None
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, in one sentence, and the reasons."""

    outcome: Outcome
    arm: str | None
    headline: Message
    reasons: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class PlanReport:
    """The plan that was fixed at the start, beside what became of it."""

    alpha: float
    power: float
    mde: float | None
    planned_size: int | None
    planned_days: int | None
    days_running: float | None
    exposed_n: int
    mature_n: int
    covariates: bool
    scale: Literal["relative", "absolute"] = "relative"
    rules: str = "clear_signals"
    dimensions: tuple[str, ...] = ()
    frozen_n: int = 0


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """Everything one refresh found out."""

    experiment: str
    name: str
    at: str
    currency: str
    arms: tuple[ArmReport, ...]
    health: HealthReport
    metrics: tuple[MetricReport, ...]
    verdict: Verdict
    plan: PlanReport
    is_single_look: bool = False
    breakdowns: tuple[Breakdown, ...] = ()
    schema: int = REPORT_SCHEMA

    @property
    def primary(self) -> MetricReport | None:
        """The metric that decides."""
        return next((metric for metric in self.metrics if metric.role == "primary"), None)

    @property
    def control(self) -> ArmReport | None:
        """The arm that the others are compared with."""
        return next((arm for arm in self.arms if arm.is_control), None)

    @property
    def exposed_n(self) -> int:
        """Units seen in one arm."""
        return sum(arm.exposed_n for arm in self.arms)


def encode_report(report: ExperimentReport) -> dict[str, Any]:
    """The JSON form of a report."""
    return dataclasses.asdict(report)


def decode_report(data: Mapping[str, Any]) -> ExperimentReport:
    """The report in a stored JSON column; one decoder for each schema version."""
    if data.get("schema") != REPORT_SCHEMA:
        raise ReportError(f"no decoder for report schema {data.get('schema')!r}")
    try:
        return _decode(ExperimentReport, data)
    except (KeyError, TypeError) as error:
        raise ReportError(f"not a report: {error}") from error


T = TypeVar("T")


def _decode(kind: type[T], data: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], value) for name, value in data.items()})


def _value(hint: Any, value: Any) -> Any:
    """A JSON value in the form that the annotation asks for: dataclasses and tuples come back."""
    if value is None:
        return None
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint):
        return _decode(typing.cast("type[Any]", hint), value)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, item) for item in value)
    return value
