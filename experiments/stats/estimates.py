"""From two arms' estimates to an effect, a lift, their intervals and p-values.

Every fixed-horizon method of this package (mean, proportion, ratio, quantile, CUPED, regression,
post-stratification) first makes an `Estimate` per arm and then calls `compare`, so there is one
place where tests and intervals are built, and a p-value cannot disagree with its interval.

Sources: B. L. Welch, "The generalization of Student's problem", Biometrika 34 (1947);
D. Katz et al., "Obtaining confidence intervals for the risk ratio in cohort studies", Biometrics 34
(1978), for the log ratio; E. C. Fieller, "Some problems in interval estimation", JRSS B 16 (1954);
A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric analytics", KDD 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.results import (
    Alternative,
    Comparison,
    FloatArray,
    Interval,
    Reason,
    ReasonArray,
    first_reason,
)

NO_REASON: ReasonArray = np.zeros((), dtype=np.int8)


class LiftMethod(StrEnum):
    """How the relative effect gets its interval and p-value.

    LOG_RATIO is the default: it keeps its coverage at low base rates and cannot go below −100 %.
    FIELLER inverts the absolute test, so its p-value is the absolute one. LINEAR is the plain delta
    method on treatment / control − 1, kept to reproduce engines that use it.
    """

    LOG_RATIO = "log-ratio"
    FIELLER = "fieller"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Estimate:
    """One arm's value with its squared standard error, arrays of any common shape.

    The value is `origin + deviation`: arms that share an origin (the frozen shift of a metric) are
    subtracted without losing digits, even where mean / sd is 1e8. `df` is infinite for a normal
    estimate; `reasons` holds codes of `Reason`, 0 where the estimate is usable.
    """

    deviation: FloatArray
    variance: FloatArray
    df: FloatArray
    origin: FloatArray = field(default_factory=lambda: np.zeros(()))
    reasons: ReasonArray = field(default_factory=lambda: NO_REASON)

    @property
    def value(self) -> FloatArray:
        """The estimated value on the metric's own scale.

        >>> Estimate(np.array(0.5), np.array(0.01), np.array(9.0), np.array(100.0)).value
        np.float64(100.5)
        """
        return self.origin + self.deviation

    @property
    def standard_error(self) -> FloatArray:
        """The square root of the variance of the value."""
        return np.sqrt(self.variance)


def estimate(value: ArrayLike, standard_error: ArrayLike, df: ArrayLike = np.inf) -> Estimate:
    """An estimate from a value and its standard error, for results computed elsewhere.

    >>> float(estimate(2.0, 0.5).variance)
    0.25
    """
    value_, error = np.asarray(value, dtype=np.float64), np.asarray(standard_error, dtype=np.float64)
    return Estimate(value_, error * error, np.asarray(df, dtype=np.float64))


def compare(
    control: Estimate,
    treatment: Estimate,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
    covariance: ArrayLike = 0.0,
    df: ArrayLike | None = None,
    correction: ArrayLike = 0.0,
    log_ratio_variance: ArrayLike | None = None,
    method: str = "welch",
) -> Comparison:
    """Compare treatment with control; both estimates broadcast against each other.

    `alpha` in (0, 1) is the size of the test; intervals have level 1 − alpha, one-sided ones an
    infinite bound. Student's t is used where df is finite, the normal where it is infinite.
    `covariance` is that of the two values where they share data (post-stratification, regression);
    `df` overrides Welch–Satterthwaite; `correction` is a continuity correction in units of the
    effect; `log_ratio_variance` overrides the delta method (pooled variances).

    Where both arms have no variance the effect is known and its test is not
    (`Reason.NO_VARIANCE`); the lift is undefined where either value is not positive.
    Raises ValueError for alpha outside (0, 1).

    >>> result = compare(estimate(10.0, 0.3, 99), estimate(11.0, 0.4, 99)).at()
    >>> result.effect, round(result.standard_error, 6), round(result.df, 4)
    (1.0, 0.5, 183.6053)
    >>> round(result.p_value, 6), round(result.lift, 6)
    (0.046974, 0.1)
    >>> compare(estimate(0.0, 0.3), estimate(1.0, 0.4)).at().lift_reason
    <Reason.NON_POSITIVE_MEAN: 3>
    """
    check_alpha(alpha)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        absolute = _absolute(control, treatment, covariance, df)
        test = _Test.of(absolute, alpha, alternative, correction)
        lower, upper, p_value = test.apply(absolute.effect, absolute.error)
        relative = _relative(absolute, control, treatment, covariance, log_ratio_variance)
        lift_lower, lift_upper, lift_p = _lift(lift_method, absolute, relative, test)
    return Comparison(
        control=absolute.control,
        treatment=absolute.treatment,
        effect=absolute.effect,
        standard_error=absolute.error,
        df=absolute.df,
        effect_ci=Interval(lower, upper, 1 - alpha, method=method),
        p_value=p_value,
        lift=relative.lift,
        log_ratio_standard_error=relative.log_error,
        lift_ci=Interval(lift_lower, lift_upper, 1 - alpha, method=str(lift_method)),
        lift_p_value=lift_p,
        method=method,
        reasons=absolute.reasons,
        lift_reasons=_lift_reasons(absolute, relative, lift_lower),
    )


def check_alpha(alpha: float, name: str = "alpha") -> None:
    """Raise ValueError unless alpha (or a level, a power by `name`) lies in (0, 1).

    >>> check_alpha(1.0)
    Traceback (most recent call last):
        ...
    ValueError: alpha must be in (0, 1), got 1.0
    """
    if not 0 < alpha < 1:
        raise ValueError(f"{name} must be in (0, 1), got {alpha}")


def welch_df(control: Estimate, treatment: Estimate) -> FloatArray:
    """Welch–Satterthwaite degrees of freedom of the difference (Welch 1947, equation 28).

    Infinite where both estimates are normal, NaN where neither has variance.

    >>> float(welch_df(estimate(1.0, 1.0, 9), estimate(1.0, 1.0, 9)))
    18.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        # by shares of the variance, whose squares neither overflow nor vanish in any unit
        share = control.variance / (control.variance + treatment.variance)
        return np.asarray(1 / (share * share / control.df + (1 - share) * (1 - share) / treatment.df))


def critical_value(df: ArrayLike, alpha: float, alternative: Alternative = Alternative.TWO_SIDED) -> FloatArray:
    """The positive quantile that an interval of level 1 − alpha multiplies its error with.

    >>> critical_value([np.inf, 9.0], 0.05)
    array([1.95996398, 2.26215716])
    """
    tail = alpha / 2 if alternative == Alternative.TWO_SIDED else alpha
    df_ = np.asarray(df, dtype=np.float64)
    normal = np.isinf(df_)
    if normal.all():
        return np.full(df_.shape, -special.ndtri(tail))
    return np.where(normal, -special.ndtri(tail), -special.stdtrit(df_, tail))


def tail_probability(
    statistic: ArrayLike,
    df: ArrayLike = np.inf,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> FloatArray:
    """The p-value of a t (or, for infinite df, z) statistic, exact far into the tails.

    Always the small tail is computed, never one minus the other: right to 1e-6 relative down to
    1e-300.

    >>> float(tail_probability(30.0))
    9.8134...e-198
    """
    t, df_ = np.asarray(statistic, dtype=np.float64), np.asarray(df, dtype=np.float64)
    if alternative == Alternative.TWO_SIDED:
        t = -np.abs(t)
    elif alternative == Alternative.GREATER:
        t = -t
    tail = special.ndtr(t)
    if not np.isinf(df_).all():
        tail = np.where(np.isinf(df_), tail, special.stdtr(df_, t))
    return np.asarray(2 * tail if alternative == Alternative.TWO_SIDED else tail)


@dataclass(frozen=True, slots=True)
class Significance:
    """An interval and the p-value of the same test of one value against zero."""

    interval: Interval
    p_value: FloatArray


def significance(
    value: FloatArray,
    standard_error: FloatArray,
    df: FloatArray,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    method: str = "",
) -> Significance:
    """Test a value with a known error against zero; NaN in, NaN out, NaN where the error is zero.

    >>> result = significance(np.array(1.0), np.array(0.5), np.array(np.inf))
    >>> round(float(result.p_value), 6), round(float(result.interval.lower), 6)
    (0.0455, 0.020018)
    """
    check_alpha(alpha)
    usable = np.isfinite(value) & (standard_error > 0)
    quantile = np.where(usable, critical_value(df, alpha, alternative), np.nan)
    test = _Test(alternative, quantile, df, np.zeros(()))
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper, p_value = test.apply(value, standard_error)
    return Significance(Interval(lower, upper, 1 - alpha, method=method), p_value)


@dataclass(frozen=True, slots=True)
class _Absolute:
    """The difference scale, everything broadcast to one shape."""

    control: FloatArray
    treatment: FloatArray
    effect: FloatArray
    error: FloatArray
    df: FloatArray
    reasons: ReasonArray


@dataclass(frozen=True, slots=True)
class _Relative:
    """The ratio scale: lift and log ratio, NaN where a value is not positive."""

    lift: FloatArray
    log_ratio: FloatArray
    log_error: FloatArray
    fieller: tuple[FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class _Test:
    """One alternative with its quantiles; NaN quantiles where there is nothing to test."""

    alternative: Alternative
    quantile: FloatArray
    df: FloatArray
    slack: FloatArray

    @staticmethod
    def of(absolute: _Absolute, alpha: float, alternative: Alternative, correction: ArrayLike) -> _Test:
        quantile = critical_value(absolute.df, alpha, alternative)
        return _Test(
            alternative=alternative,
            quantile=np.where(absolute.reasons == 0, quantile, np.nan),
            df=absolute.df,
            slack=np.asarray(correction, dtype=np.float64),
        )

    def apply(
        self, value: FloatArray, error: FloatArray, unit: FloatArray | float = 1.0
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Lower bound, upper bound and p-value of `value` against zero; `unit` scales the slack."""
        slack = self.slack / unit
        lower, upper = self.bounds(value, self.quantile * error + slack)
        shrunk = np.sign(value) * np.maximum(np.abs(value) - slack, 0)
        statistic = shrunk / error + 0 * self.quantile
        return lower, upper, tail_probability(statistic, self.df, self.alternative)

    def bounds(self, value: FloatArray, half: FloatArray) -> tuple[FloatArray, FloatArray]:
        lower, upper = value - half, value + half
        if self.alternative == Alternative.GREATER:
            upper = np.where(np.isnan(lower), np.nan, np.inf)
        elif self.alternative == Alternative.LESS:
            lower = np.where(np.isnan(upper), np.nan, -np.inf)
        return lower, upper


def _absolute(control: Estimate, treatment: Estimate, covariance: ArrayLike, df: ArrayLike | None) -> _Absolute:
    effect = (treatment.deviation - control.deviation) + (treatment.origin - control.origin)
    variance = control.variance + treatment.variance - 2 * np.asarray(covariance, dtype=np.float64)
    error = np.sqrt(np.maximum(variance, 0.0))
    df_ = welch_df(control, treatment) if df is None else np.asarray(df, dtype=np.float64)
    effect, error, df_ = np.broadcast_arrays(effect, error, df_)
    reasons = first_reason(
        [
            (control.reasons != 0, control.reasons),
            (treatment.reasons != 0, treatment.reasons),
            (~np.isfinite(effect + error), Reason.NOT_FINITE),
            (error == 0, Reason.NO_VARIANCE),
            (~(df_ > 0), Reason.TOO_FEW_UNITS),
        ],
        effect.shape,
    )
    return _Absolute(
        control=np.broadcast_to(control.value, effect.shape),
        treatment=np.broadcast_to(treatment.value, effect.shape),
        effect=effect,
        error=np.where(np.isfinite(effect), error, np.nan),
        df=np.where(reasons == 0, df_, np.nan),
        reasons=reasons,
    )


def _relative(
    absolute: _Absolute,
    control: Estimate,
    treatment: Estimate,
    covariance: ArrayLike,
    log_ratio_variance: ArrayLike | None,
) -> _Relative:
    cov = np.asarray(covariance, dtype=np.float64)
    # a treatment that is positive by rounding only has no logarithm either
    positive = (absolute.control > 0) & (absolute.treatment > 0) & (absolute.effect / absolute.control > -1)
    c = np.where(positive, absolute.control, np.nan)
    t = np.where(positive, absolute.treatment, np.nan)
    if log_ratio_variance is None:
        log_variance = control.variance / c / c + treatment.variance / t / t
        log_variance = log_variance - 2 * cov / c / t
    else:
        log_variance = np.where(positive, log_ratio_variance, np.nan)
    lift = absolute.effect / c
    return _Relative(
        lift=lift,
        log_ratio=np.log1p(lift),
        log_error=np.sqrt(np.maximum(log_variance, 0.0)),
        fieller=(control.variance + 0 * c, treatment.variance + 0 * c, cov + 0 * c),
    )


def _lift(
    lift_method: LiftMethod,
    absolute: _Absolute,
    relative: _Relative,
    test: _Test,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bounds and p-value of the lift, always of one and the same test."""
    if lift_method == LiftMethod.LOG_RATIO:
        unit = absolute.control
        lower, upper, p = test.apply(relative.log_ratio, relative.log_error, unit)
        return np.where(np.isinf(lower), lower, np.expm1(lower)), np.expm1(upper), p
    if lift_method == LiftMethod.LINEAR:
        error = relative.log_error * (1 + relative.lift)
        return test.apply(relative.lift, error, absolute.control)
    lower, upper = _fieller(absolute, relative, test)
    # Fieller's bounds know no continuity correction, so their p-value has none either.
    statistic = absolute.effect / absolute.error + 0 * test.quantile
    p_value = tail_probability(statistic, test.df, test.alternative)
    return lower, upper, np.where(np.isnan(relative.lift), np.nan, p_value)


def _fieller(absolute: _Absolute, relative: _Relative, test: _Test) -> tuple[FloatArray, FloatArray]:
    """Fieller's bounds: the ratios that the absolute test does not reject; NaN if unbounded.

    Solved for the lift, not for the ratio, so that the bounds of a tiny lift keep their digits.
    """
    c = absolute.control
    variance_c, variance_t, cov = relative.fieller
    q2 = test.quantile * test.quantile
    # (effect − lift c)² = q² (v_diff − 2 lift (cov − v_c) + lift² v_c), a quadratic in the lift
    a = c * c - q2 * variance_c
    b = absolute.effect * c - q2 * (cov - variance_c)
    d = absolute.effect * absolute.effect - q2 * (variance_c + variance_t - 2 * cov)
    half = np.sqrt(np.maximum(b * b - a * d, 0.0)) / np.where(a > 0, a, np.nan)
    return test.bounds(b / a, half + 0 * relative.lift)


def _lift_reasons(absolute: _Absolute, relative: _Relative, lower: FloatArray) -> ReasonArray:
    known = (absolute.reasons == 0) | (absolute.reasons == Reason.NO_VARIANCE)
    return first_reason(
        [
            (~known, absolute.reasons),
            (np.isnan(relative.lift), Reason.NON_POSITIVE_MEAN),
            (absolute.reasons != 0, absolute.reasons),
            (relative.log_error == 0, Reason.NO_VARIANCE),
            (np.isnan(lower), Reason.UNBOUNDED),
        ],
        absolute.effect.shape,
    )
