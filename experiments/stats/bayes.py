"""Bayesian inference: normal prior on the relative effect, Beta–Binomial for proportions.

Not a licence to peek: with these posteriors, "stop when the chance to win passes 95 %" declares a
winner in 26 to 52 % of experiments without effect (docs/statistics.md, "Peeking"). At a planned
size the probabilities mean what they say; for looking every day use `experiments.stats.sequential`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.beta import Beta, Difference, overlap
from experiments.stats.estimates import check_alpha
from experiments.stats.quadrature import panels
from experiments.stats.results import FloatArray, Interval, IntervalKind, Reason, ReasonArray, first_reason

# The rule for the best of many normal arms: panels between these multiples of each arm's sd.
PANEL_ENDS = (-9.0, -6.5, -4.5, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0)


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """N(mean, sd²) on the relative effect; an infinite sd (the default) is the flat prior."""

    mean: float = 0.0
    sd: float = math.inf

    def __post_init__(self) -> None:
        if not self.sd > 0 or not math.isfinite(self.mean):
            raise ValueError(f"a prior needs a finite mean and a positive sd, got {self.mean} and {self.sd}")


@dataclass(frozen=True, slots=True)
class Posterior:
    """Posterior of the effect: `mean`, `sd`, and what decisions need of it.

    `chance_to_win` is P(treatment better), `loss_treatment` the expected loss of shipping the
    treatment, `loss_control` that of keeping the control, all in units of the effect. NaN with a
    code in `reasons` where undefined.
    """

    mean: FloatArray
    sd: FloatArray
    interval: Interval
    chance_to_win: FloatArray
    loss_treatment: FloatArray
    loss_control: FloatArray
    reasons: ReasonArray


def normal_posterior(
    effect: ArrayLike,
    standard_error: ArrayLike,
    *,
    prior: NormalPrior | None = None,
    control_mean: ArrayLike | None = None,
    increase_is_good: bool = True,
    level: float = 0.95,
) -> Posterior:
    """Normal posterior of an effect with a normal prior on the *relative* effect.

    With `control_mean` the effect is absolute and the prior is converted (mean × |m_C|, sd × |m_C|);
    without it the effect is relative. Arrays broadcast. With `increase_is_good=False` the chance to
    win is that of a decrease, and the losses change sides.

    Sources: Stucchio, "Bayesian A/B Testing at VWO" (2015), for the losses; conjugate normal update.

    >>> told = normal_posterior(0.08, 0.0448678058300158, prior=NormalPrior(0.02, 0.05))
    >>> round(float(told.chance_to_win), 12), round(float(told.mean), 12)
    (0.944554265564, 0.053236430673)
    """
    check_alpha(level, "level")
    belief = prior or NormalPrior()
    change, error, scale = np.broadcast_arrays(
        np.asarray(effect, dtype=np.float64),
        np.asarray(standard_error, dtype=np.float64),
        np.abs(np.asarray(1.0 if control_mean is None else control_mean, dtype=np.float64)),
    )
    reasons = first_reason(
        [
            (np.asarray(error <= 0, dtype=np.bool_), Reason.NO_VARIANCE),
            (np.asarray(~(np.isfinite(change) & np.isfinite(error)), dtype=np.bool_), Reason.NOT_FINITE),
            (np.asarray(~(scale > 0), dtype=np.bool_), Reason.NO_CONTROL_VALUE),
        ],
        change.shape,
    )
    undefined = reasons != 0
    with np.errstate(divide="ignore", invalid="ignore"):
        data_precision = error**-2.0
        prior_precision = np.zeros_like(scale) if math.isinf(belief.sd) else (belief.sd * scale) ** -2.0
        precision = data_precision + prior_precision
        mean = (change * data_precision + belief.mean * scale * prior_precision) / precision
        sd = 1 / np.sqrt(precision)
    mean, sd = np.where(undefined, np.nan, mean), np.where(undefined, np.nan, sd)
    good = mean if increase_is_good else -mean
    radius = -special.ndtri((1 - level) / 2) * sd
    loss_treatment, loss_control = _normal_losses(good, sd)
    return Posterior(
        mean=mean,
        sd=sd,
        interval=Interval(mean - radius, mean + radius, level, IntervalKind.CREDIBLE, "normal posterior"),
        chance_to_win=np.asarray(special.ndtr(good / sd), dtype=np.float64),
        loss_treatment=loss_treatment,
        loss_control=loss_control,
        reasons=reasons,
    )


def beta_posterior(
    conversions_control: ArrayLike,
    n_control: ArrayLike,
    conversions_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    prior: tuple[float, float] = (1.0, 1.0),
    increase_is_good: bool = True,
    level: float = 0.95,
) -> Posterior:
    """Beta–Binomial posterior of the difference of two proportions, by quadrature.

    Each arm has the prior Beta(`prior`). No normal approximation, so it holds for any count, zero
    included; about 6 ms a comparison. `mean` and `sd` are exact; the equal-tailed interval inverts
    the distribution function of the difference; the smaller of the chances and of the losses keeps its
    digits down to 1e-300 (`experiments.stats.beta`).

    Raises `ValueError` for a prior not positive or conversions outside 0 … n.
    Source: Gelman et al., "Bayesian Data Analysis", 3rd ed., section 2.4; Stucchio (2015).

    >>> told = beta_posterior(1_000, 10_000, 1_080, 10_000)
    >>> round(float(told.chance_to_win), 10)
    0.968049078
    """
    check_alpha(level, "level")
    if not (prior[0] > 0 and prior[1] > 0):
        raise ValueError(f"a Beta prior needs two positive numbers, got {prior}")
    hits_c, units_c, hits_t, units_t = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (conversions_control, n_control, conversions_treatment, n_treatment))
    )
    if not (np.all((hits_c >= 0) & (hits_c <= units_c)) and np.all((hits_t >= 0) & (hits_t <= units_t))):
        raise ValueError("conversions must lie between 0 and n")
    control = Beta(hits_c + prior[0], units_c - hits_c + prior[1])
    treatment = Beta(hits_t + prior[0], units_t - hits_t + prior[1])
    difference = Difference.of(control, treatment)
    lower, upper = difference.quantile((1 - level) / 2), difference.quantile((1 + level) / 2)
    gain = difference.mean if increase_is_good else -difference.mean
    # the arm that seems worse may be better: that side is small and gets its own digits
    ahead, behind = _ordered(control, treatment)
    upset, small_loss = overlap(ahead, behind)
    large_loss = small_loss + np.abs(gain)
    return Posterior(
        mean=difference.mean,
        sd=difference.sd,
        interval=Interval(lower, upper, level, IntervalKind.CREDIBLE, "beta posteriors"),
        chance_to_win=np.where((difference.mean >= 0) == increase_is_good, 1 - upset, upset),
        loss_treatment=np.where(gain >= 0, small_loss, large_loss),
        loss_control=np.where(gain >= 0, large_loss, small_loss),
        reasons=np.zeros(gain.shape, dtype=np.int8),
    )


def chance_to_be_best(means: ArrayLike, sds: ArrayLike, *, increase_is_good: bool = True) -> FloatArray:
    """Probability of being the best of many arms with independent normal posteriors.

    `means` and `sds` hold the arms on the last axis (each arm's own mean, not effects against a
    shared control, which would be correlated). Integrates P(all others below x) over each arm's
    posterior; deterministic, no draws.

    Raises `ValueError` unless every sd is positive.
    Source: the integral of Chapelle & Li (NeurIPS 2011) that Thompson sampling draws from.

    >>> chance_to_be_best([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]).round(12)
    array([0.33333333, 0.33333333, 0.33333333])
    """
    mean, sd = np.broadcast_arrays(np.asarray(means, dtype=np.float64), np.asarray(sds, dtype=np.float64))
    if not np.all(sd > 0):
        raise ValueError("sds must be positive")
    if not increase_is_good:
        mean = -mean
    ends = mean[..., None] + sd[..., None] * np.array(PANEL_ENDS)
    x, weight = panels(np.sort(ends.reshape(*mean.shape[:-1], mean.shape[-1] * len(PANEL_ENDS)), axis=-1))
    z = (x[..., None, :] - mean[..., :, None]) / sd[..., :, None]
    log_below = special.log_ndtr(z)
    # Density of arm i times P(every other arm < x), in logs: the far tails underflow quietly to 0.
    exponent = log_below.sum(axis=-2, keepdims=True) - log_below - z * z / 2
    chance = (np.exp(exponent) * weight[..., None, :]).sum(axis=-1) / sd
    return np.asarray(chance / chance.sum(axis=-1, keepdims=True), dtype=np.float64)


def _ordered(control: Beta, treatment: Beta) -> tuple[Beta, Beta]:
    """The arms by their means, element by element, the larger first."""
    leads = treatment.mean >= control.mean
    ahead = Beta(np.where(leads, treatment.a, control.a), np.where(leads, treatment.b, control.b))
    return ahead, Beta(np.where(leads, control.a, treatment.a), np.where(leads, control.b, treatment.b))


def _normal_losses(mean: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Expected losses of shipping a treatment whose gain is N(mean, sd²), and of keeping the control.

    loss(ship) = sd φ(m/sd) − m Φ(−m/sd); each side from its own form, so that neither cancels.
    """
    z = mean / sd
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    ship = sd * density - mean * special.ndtr(-z)
    keep = sd * density + mean * special.ndtr(z)
    return np.maximum(ship, 0.0), np.maximum(keep, 0.0)
