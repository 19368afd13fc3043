"""Frozen results shared by every method: intervals and comparisons of two arms.

Arrays of one common shape inside; `.at(index)` gives the scalar view with `None` for undefined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
ReasonArray: TypeAlias = NDArray[np.int8]
Index: TypeAlias = int | tuple[int, ...]


class Alternative(StrEnum):
    """The hypothesis set against "no difference", from the treatment's point of view."""

    TWO_SIDED = "two-sided"
    GREATER = "greater"
    LESS = "less"


class IntervalKind(StrEnum):
    """What an interval promises; pages must name it."""

    CONFIDENCE = "confidence"
    ALWAYS_VALID = "always_valid"
    REPEATED = "repeated"
    SIMULTANEOUS = "simultaneous"
    CONSERVATIVE = "conservative"
    FALSE_COVERAGE_RATE = "false_coverage_rate"
    CREDIBLE = "credible"


class Reason(IntEnum):
    """Why a number is undefined. The value is the code kept in reason arrays."""

    NONE = 0
    TOO_FEW_UNITS = 1
    NO_VARIANCE = 2
    NON_POSITIVE_MEAN = 3
    ZERO_DENOMINATOR = 4
    NOT_FINITE = 5
    TOO_FEW_EVENTS = 6
    UNBOUNDED = 7
    NO_CONTROL_VALUE = 8

    @property
    def label(self) -> str:
        """The stable word used in JSON and message catalogues.

        >>> Reason.TOO_FEW_UNITS.label
        'too_few_units'
        """
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class IntervalResult:
    """One interval; a bound is infinite where the interval is one-sided or unbounded."""

    lower: float
    upper: float
    level: float
    kind: IntervalKind
    method: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Intervals of any common shape.

    `lower` and `upper` hold NaN where undefined and an infinity where a side is open; `level` is
    the nominal level in (0, 1); `method` names the construction ("welch", "newcombe", …).

    >>> interval = Interval(np.array([0.1, np.nan]), np.array([0.3, np.nan]), 0.95)
    >>> interval.at(0)
    IntervalResult(lower=0.1, upper=0.3, level=0.95, kind=<IntervalKind.CONFIDENCE: 'confidence'>, method='')
    >>> interval.at(1) is None
    True
    """

    lower: FloatArray
    upper: FloatArray
    level: float
    kind: IntervalKind = IntervalKind.CONFIDENCE
    method: str = ""

    def at(self, index: Index = ()) -> IntervalResult | None:
        """The interval at `index`, or `None` where it is undefined."""
        lower = float(np.asarray(self.lower)[index])
        upper = float(np.asarray(self.upper)[index])
        if math.isnan(lower) or math.isnan(upper):
            return None
        return IntervalResult(lower, upper, self.level, self.kind, self.method)

    def contains(self, value: ArrayLike) -> BoolArray:
        """Whether each interval covers `value` (False where undefined).

        >>> Interval(np.array([0.1, np.nan]), np.array([0.3, np.nan]), 0.95).contains(0.2)
        array([ True, False])
        """
        inside = (self.lower <= np.asarray(value)) & (np.asarray(value) <= self.upper)
        return np.asarray(inside, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """One treatment against control on one metric; `None` means undefined, see the reasons.

    `reason` explains a missing absolute part, `lift_reason` a missing relative part.
    """

    control: float | None
    treatment: float | None
    effect: float | None
    standard_error: float | None
    df: float | None
    effect_ci: IntervalResult | None
    p_value: float | None
    lift: float | None
    log_ratio_standard_error: float | None
    lift_ci: IntervalResult | None
    lift_p_value: float | None
    method: str
    reason: Reason | None
    lift_reason: Reason | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Treatments against control, arrays of one common shape.

    `control` and `treatment` are the arms' values on the metric's own scale; `effect` is their
    difference and `standard_error` its error; `df` the degrees of freedom (infinite for a normal
    test). `lift` is treatment / control − 1, `log_ratio_standard_error` the delta-method error of
    ln(treatment / control), which `lift_ci` and `lift_p_value` use (unless the interval's method
    says "fieller"). `reasons` and `lift_reasons` are codes of `Reason`, 0 where all is defined.
    """

    control: FloatArray
    treatment: FloatArray
    effect: FloatArray
    standard_error: FloatArray
    df: FloatArray
    effect_ci: Interval
    p_value: FloatArray
    lift: FloatArray
    log_ratio_standard_error: FloatArray
    lift_ci: Interval
    lift_p_value: FloatArray
    method: str
    reasons: ReasonArray
    lift_reasons: ReasonArray

    @property
    def shape(self) -> tuple[int, ...]:
        """The common shape of all arrays."""
        return self.effect.shape

    @property
    def lift_standard_error(self) -> FloatArray:
        """The linear delta-method error of the lift: the log-ratio error times the ratio."""
        return self.log_ratio_standard_error * (1 + self.lift)

    @property
    def log_ratio(self) -> FloatArray:
        """ln(treatment / control): the scale of sequential inference on lifts; NaN without a lift."""
        return np.asarray(np.log1p(np.where(self.lift > -1, self.lift, np.nan)), dtype=np.float64)

    def at(self, index: Index = ()) -> ComparisonResult:
        """The scalar view at `index` (`()` for zero-dimensional arrays)."""
        return ComparisonResult(
            control=defined(self.control, index),
            treatment=defined(self.treatment, index),
            effect=defined(self.effect, index),
            standard_error=defined(self.standard_error, index),
            df=defined(self.df, index),
            effect_ci=self.effect_ci.at(index),
            p_value=defined(self.p_value, index),
            lift=defined(self.lift, index),
            log_ratio_standard_error=defined(self.log_ratio_standard_error, index),
            lift_ci=self.lift_ci.at(index),
            lift_p_value=defined(self.lift_p_value, index),
            method=self.method,
            reason=reason_at(self.reasons, index),
            lift_reason=reason_at(self.lift_reasons, index),
        )


def defined(values: FloatArray, index: Index = ()) -> float | None:
    """The float at `index`, or `None` where it is NaN.

    >>> defined(np.array([1.5, np.nan]), 0), defined(np.array([1.5, np.nan]), 1)
    (1.5, None)
    """
    value = float(np.asarray(values)[index])
    return None if math.isnan(value) else value


def reason_at(reasons: ReasonArray, index: Index = ()) -> Reason | None:
    """The reason at `index`, or `None` where nothing is undefined.

    >>> reason_at(np.array([0, 1], dtype=np.int8), 1)
    <Reason.TOO_FEW_UNITS: 1>
    >>> reason_at(np.array([0, 1], dtype=np.int8), 0) is None
    True
    """
    code = int(np.asarray(reasons)[index])
    return Reason(code) if code else None


def first_reason(conditions: Iterable[tuple[BoolArray, Reason | ReasonArray]], shape: tuple[int, ...]) -> ReasonArray:
    """Codes of the first condition that holds, 0 where none does.

    >>> first_reason([(np.array([True, False]), Reason.NO_VARIANCE)], (2,))
    array([2, 0], dtype=int8)
    """
    codes = np.zeros(shape, dtype=np.int8)
    for condition, reason in conditions:
        if np.any(condition):
            codes = np.where((codes == 0) & condition, np.asarray(reason, np.int8), codes)
    return codes
