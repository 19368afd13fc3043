"""Difference and ratio of two means: Welch's t by default.

Sources: B. L. Welch, Biometrika 34 (1947); the log-ratio interval is Katz et al., Biometrics 34 (1978),
with Student quantiles at the same Welch–Satterthwaite degrees of freedom.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import Estimate, LiftMethod, compare
from experiments.stats.results import Alternative, Comparison, Reason, ReasonArray

MIN_UNITS = 2  # a variance needs two units


def enough_units(aggregates: Aggregates) -> ReasonArray:
    """Reason codes: TOO_FEW_UNITS below two (effective) units, 0 otherwise.

    >>> from experiments.stats.aggregates import aggregate
    >>> int(enough_units(aggregate({"y": [1.0]})))
    1
    """
    few = (aggregates.count < MIN_UNITS) | (aggregates.n <= 1)
    return np.where(few, np.int8(Reason.TOO_FEW_UNITS), np.int8(0))


def mean_estimate(aggregates: Aggregates, column: Column = 0) -> Estimate:
    """The mean of a column with variance s² / n and n − 1 degrees of freedom; batch shape.

    >>> from experiments.stats.aggregates import aggregate
    >>> result = mean_estimate(aggregate({"y": [1.0, 2.0, 3.0, 4.0]}))
    >>> float(result.value), round(float(result.variance), 6), float(result.df)
    (2.5, 0.416667, 3.0)
    """
    n = aggregates.n
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = aggregates.variance(column) / n
    return Estimate(
        deviation=aggregates.deviation(column),
        variance=variance,
        df=n - 1,
        origin=aggregates.origin(column),
        reasons=enough_units(aggregates),
    )


def compare_means(
    control: Aggregates,
    treatment: Aggregates,
    *,
    column: Column = 0,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
    use_t: bool = True,
    equal_variance: bool = False,
) -> Comparison:
    """Compare the means of a column; batches broadcast (control[:, None] against several arms).

    Welch's t by default; `use_t=False` takes normal quantiles; `equal_variance=True` is Student's
    pooled test (wrong with unequal arms and variances, here for comparison only). Units below two
    in an arm give TOO_FEW_UNITS, no variance in both arms NO_VARIANCE.

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"y": [1.0, 2.0, 3.0, 3.0, 5.0, 7.0]}, groups=[0, 0, 0, 1, 1, 1])
    >>> result = compare_means(cells[0], cells[1]).at()
    >>> result.effect, round(result.df, 4), round(result.p_value, 6)
    (3.0, 2.9412, 0.104479)
    """
    c, t = mean_estimate(control, column), mean_estimate(treatment, column)
    if not equal_variance:
        df = None if use_t else np.inf
        method = "welch" if use_t else "z"
        return compare(c, t, alpha=alpha, alternative=alternative, lift_method=lift_method, df=df, method=method)
    df_pooled = c.df + t.df
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / control.n + 1 / treatment.n
        squares = c.df * c.variance * control.n, t.df * t.variance * treatment.n
        pooled = (squares[0] + squares[1]) / df_pooled
        cv_squared = (squares[0] / np.square(c.value) + squares[1] / np.square(t.value)) / df_pooled
    return compare(
        replace(c, variance=pooled / control.n),
        replace(t, variance=pooled / treatment.n),
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        df=df_pooled if use_t else np.inf,
        log_ratio_variance=cv_squared * scale,
        method="pooled-t" if use_t else "pooled-z",
    )
