"""Does the effect differ between people? Segments, shrinkage, and pairs of experiments.

Segments are disjoint groups of units fixed *before* exposure. The test comes first (one p-value for
"the effect differs somewhere"); single segments are then shown shrunk towards the common effect,
which is what the largest of many noisy estimates needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.estimates import check_alpha
from experiments.stats.results import BoolArray, FloatArray, Interval, IntervalKind

# Units of the smaller arm under which a segment is not shown: with fewer, a person can be guessed
# from the cell and the normal law does not hold.
MINIMUM_CELL = 50


@dataclass(frozen=True, slots=True)
class SegmentEffects:
    """Effects by segment, raw and shrunk.

    `shown` marks segments of the minimum size; the others are NaN everywhere and in no statistic.
    `tau` is the estimated sd of the true effects between segments. `interaction_p_value` is that of
    "the same effect in every segment" (`None` with fewer than two shown segments).
    """

    effect: FloatArray
    shrunk: FloatArray
    shrunk_interval: Interval
    shown: BoolArray
    common_effect: float | None
    common_standard_error: float | None
    tau: float | None
    heterogeneity: float | None
    interaction_p_value: float | None


@dataclass(frozen=True, slots=True)
class Interaction:
    """How much the effect of one experiment changes with the arm of the other.

    Error, interval and p-value are NaN where a cell is empty or no cell varies.
    """

    effect: FloatArray
    standard_error: FloatArray
    interval: Interval
    p_value: FloatArray


def segment_effects(
    effects: ArrayLike,
    standard_errors: ArrayLike,
    n_control: ArrayLike,
    n_treatment: ArrayLike,
    *,
    minimum_cell: int = MINIMUM_CELL,
    level: float = 0.95,
) -> SegmentEffects:
    """Interaction test (Cochran's Q) and empirical-Bayes shrinkage of effects by segment.

    Vectors over segments. tau² is the DerSimonian–Laird estimate; each effect moves to the common
    one by the share of its variance that is noise. `heterogeneity` is I², the share of the total
    variation that is not noise.

    Sources: Cochran (1954); DerSimonian & Laird (1986); Morris, "Parametric empirical Bayes
    inference" (JASA 1983); Higgins & Thompson (2002).

    >>> told = segment_effects([0.1, 0.1, 0.4], [0.02, 0.02, 0.02], [500] * 3, [500] * 3)
    >>> told.interaction_p_value < 1e-6, told.shrunk[2] < 0.4
    (True, np.True_)
    """
    check_alpha(level, "level")
    change, error, control, treatment = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (effects, standard_errors, n_control, n_treatment))
    )
    shown = (np.minimum(control, treatment) >= minimum_cell) & np.isfinite(change) & np.isfinite(error) & (error > 0)
    y, v = change[shown], error[shown] ** 2
    hidden = np.full(change.shape, np.nan)
    if y.size == 0:
        empty = Interval(hidden, hidden, level, IntervalKind.CREDIBLE, "empirical bayes")
        return SegmentEffects(hidden, hidden, empty, shown, None, None, None, None, None)
    weight = 1 / v
    fixed = float((weight * y).sum() / weight.sum())
    q, df = float((weight * (y - fixed) ** 2).sum()), y.size - 1
    spread = float(weight.sum() - (weight**2).sum() / weight.sum())
    tau2 = max((q - df) / spread, 0.0) if df else 0.0
    weight = 1 / (v + tau2)
    common, common_error = float((weight * y).sum() / weight.sum()), math.sqrt(1 / float(weight.sum()))
    kept = tau2 / (tau2 + v)
    mean = kept * y + (1 - kept) * common
    # Morris (1983), section 4: the common effect is estimated too, and so is how much to shrink, which
    # is known the less the fewer segments there are. Without it 95 % intervals cover as little as 73 %.
    unsure = 2 / max(y.size - 3, 1) * (v.mean() + tau2) / (v + tau2) * ((1 - kept) * (y - common)) ** 2
    sd = np.sqrt(kept * v + ((1 - kept) * common_error) ** 2 + unsure)
    radius = float(-special.ndtri((1 - level) / 2)) * sd
    return SegmentEffects(
        effect=_fill(hidden, shown, y),
        shrunk=_fill(hidden, shown, mean),
        shrunk_interval=Interval(
            _fill(hidden, shown, mean - radius),
            _fill(hidden, shown, mean + radius),
            level,
            IntervalKind.CREDIBLE,
            "empirical bayes",
        ),
        shown=np.asarray(shown, dtype=np.bool_),
        common_effect=common,
        common_standard_error=common_error,
        tau=math.sqrt(tau2),
        heterogeneity=(max(0.0, 1 - df / q) if q > 0 else 0.0) if df else None,
        interaction_p_value=float(special.chdtrc(df, q)) if df else None,
    )


def experiment_interaction(
    means: ArrayLike, variances: ArrayLike, counts: ArrayLike, *, relative: bool = False, level: float = 0.95
) -> Interaction:
    """2 × 2 interaction between two experiments that share units.

    Arrays (…, 2, 2): the first of the last two axes is the arm in experiment A, the second in B
    (control first); `variances` are per unit. Absolute: (m11 − m01) − (m10 − m00), how much A's effect
    differs between B's arms; relative: the same on logarithms, "the lifts do not multiply".

    Raises `ValueError` unless the last axes are 2 × 2. Source: Montgomery, "Design and Analysis of
    Experiments", 6.2; delta method for the logarithm.

    >>> told = experiment_interaction([[10, 10], [11, 13]], [[9, 9], [9, 9]], [[1000, 1000], [1000, 1000]])
    >>> float(told.effect), round(float(told.standard_error), 4)
    (2.0, 0.1897)
    """
    check_alpha(level, "level")
    mean, variance, count = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (means, variances, counts))
    )
    if mean.shape[-2:] != (2, 2):
        raise ValueError(f"means must be (…, 2, 2), got shape {mean.shape}")
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = variance / count
        if relative:
            noise = noise / mean**2
            mean = np.where(mean > 0, np.log(np.where(mean > 0, mean, 1.0)), np.nan)
        change = (mean[..., 1, 1] - mean[..., 0, 1]) - (mean[..., 1, 0] - mean[..., 0, 0])
        error = np.sqrt(noise.sum(axis=(-1, -2)))
        error = np.where(np.isfinite(error) & (error > 0), error, np.nan)
        p_value = 2 * special.ndtr(-np.abs(change / error))
    radius = float(-special.ndtri((1 - level) / 2)) * error
    interval = Interval(change - radius, change + radius, level, IntervalKind.CONFIDENCE, "interaction")
    return Interaction(change, error, interval, np.asarray(p_value, dtype=np.float64))


def _fill(blank: FloatArray, where: BoolArray, values: FloatArray) -> FloatArray:
    filled = blank.copy()
    filled[where] = values
    return filled
