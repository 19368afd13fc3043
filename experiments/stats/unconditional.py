"""Unconditional exact tests of two proportions: Boschloo's and Barnard's.

Both order all outcomes of two binomials (Boschloo by Fisher's p-value, Barnard by the z statistic)
and take the largest chance, over the common rate, of an outcome as extreme as the observed one.

Sources: R. D. Boschloo, "Raised conditional level of significance for the 2 × 2 table", Statistica
Neerlandica 24 (1970); G. A. Barnard, "Significance tests for 2 × 2 tables", Biometrika 34 (1947).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from experiments.stats.results import Alternative, BoolArray, FloatArray
from experiments.stats.score import Counts

TIE = 1e-9  # relative rounding error of a statistic, far under the gap between tables that differ
GRID = 200  # nuisance rates tried first: on the scale of angles a peak is wider than 3 of their steps
WORTH = 0.9  # local maxima of the grid at least this share of the highest are refined
ZOOMS = 8  # each narrows a maximum's cell fivefold


def boschloo_p_value(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> float:
    """Boschloo's p-value: the largest chance of a Fisher p-value as small as the observed one.

    Two-sided: twice the smaller one-sided p-value, at most 1. Time and memory grow with the product
    of the arms. Raises ValueError for impossible counts.

    >>> round(boschloo_p_value(20, 100, 33, 110), 6)
    0.107216
    """
    Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    table = successes_control, n_control, successes_treatment, n_treatment
    mirrored = successes_treatment, n_treatment, successes_control, n_control
    if alternative == Alternative.GREATER:
        return _boschloo_greater(*table)
    if alternative == Alternative.LESS:
        return _boschloo_greater(*mirrored)
    if successes_control * n_treatment > successes_treatment * n_control:
        table, mirrored = mirrored, table
    observed = _boschloo_greater(*table)
    return min(1.0, 2 * min(observed, _boschloo_greater(*mirrored, enough=observed)))


def barnard_p_value(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
    pooled: bool = True,
) -> float:
    """Barnard's p-value with the z statistic, of pooled or of own variances.

    Two-sided: outcomes at least as far from zero on either side. Raises ValueError for impossible
    counts.

    >>> round(barnard_p_value(20, 100, 33, 110), 6)
    0.101786
    """
    Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    z = _wald(n_control, n_treatment, pooled=pooled)
    observed = z[successes_control, successes_treatment]
    slack = TIE * abs(observed)
    if alternative == Alternative.GREATER:
        region = z >= observed - slack
    elif alternative == Alternative.LESS:
        region = z <= observed + slack
    else:
        region = np.abs(z) >= abs(observed) - slack
    return _largest_chance(region, enough=1.0)


def _boschloo_greater(x_c: int, n_c: int, x_t: int, n_t: int, *, enough: float = 1.0) -> float:
    """The one-sided p-value of "treatment greater"; any value ≥ `enough` once that is certain."""
    extreme = _fisher_greater(_log_choose(n_c), _log_choose(n_t))
    return _largest_chance(extreme <= extreme[x_c, x_t] * (1 + TIE), enough=enough)


def _largest_chance(region: BoolArray, *, enough: float) -> float:
    """sup over the common rate of P(outcome in region); stops once ≥ `enough`.

    `region` has shape (n_c + 1, n_t + 1). In each row it is a beginning and an end of the row: more
    events in the treatment are more extreme in one direction (Barnard's convexity).
    """
    if region.all():
        return 1.0
    n_t = region.shape[1] - 1
    choose_c, choose_t = _log_choose(region.shape[0] - 1), _log_choose(n_t)
    beginning = np.logical_and.accumulate(region, axis=1).sum(axis=1)
    ending = np.where(beginning > n_t, n_t + 1, n_t + 1 - region.sum(axis=1) + beginning)

    def chance(angles: FloatArray) -> FloatArray:
        rates = np.square(np.sin(angles))
        control, treatment = _binomials(choose_c, rates), _binomials(choose_t, rates)
        heads, tails = np.zeros((rates.size, n_t + 2)), np.zeros((rates.size, n_t + 2))
        heads[:, 1:] = treatment.cumsum(axis=1)
        tails[:, :-1] = treatment[:, ::-1].cumsum(axis=1)[:, ::-1]
        return np.asarray((control * (heads[:, beginning] + tails[:, ending])).sum(axis=1))

    # equal steps of the angle: the binomial's variance is constant on that scale
    step = math.pi / 2 / GRID
    first = chance(_midpoints(10))
    if first.max() >= enough:
        return float(first.max())
    angles = _midpoints(GRID)
    values = chance(angles)
    padded = np.concatenate([[-1.0], values, [-1.0]])
    peak = (values >= padded[:-2]) & (values >= padded[2:]) & (values >= WORTH * values.max())
    centres, highest = angles[peak], float(values.max())
    for _ in range(ZOOMS):
        tried = np.clip(centres[:, None] + np.linspace(-step, step, 11), angles[0] / 1e3, math.pi / 2 - angles[0] / 1e3)
        found = chance(tried.ravel()).reshape(tried.shape)
        centres = np.take_along_axis(tried, found.argmax(axis=1)[:, None], axis=1)[:, 0]
        highest = max(highest, float(found.max()))
        step /= 5
    return min(1.0, highest)


def _midpoints(n: int) -> FloatArray:
    """Middles of n equal parts of the angles 0 … π/2."""
    return np.asarray(np.linspace(0.5, n - 0.5, n) * (math.pi / 2 / n), dtype=np.float64)


def _fisher_greater(choose_c: FloatArray, choose_t: FloatArray) -> FloatArray:
    """Fisher's p of "treatment greater" for every table, shape (n_c + 1, n_t + 1)."""
    n_c, n_t = choose_c.size - 1, choose_t.size - 1
    total = np.arange(n_c + n_t + 1)[:, None]
    x_t = np.arange(n_t + 1)[None, :]
    x_c = total - x_t
    inside = (x_c >= 0) & (x_c <= n_c)
    logs = choose_c[np.clip(x_c, 0, n_c)] + choose_t[x_t] - _log_choose(n_c + n_t)[total]
    density = np.where(inside, np.exp(logs), 0.0)
    tails = density[:, ::-1].cumsum(axis=1)[:, ::-1]
    rows = np.arange(n_c + 1)[:, None] + np.arange(n_t + 1)[None, :]
    return np.asarray(tails[rows, np.broadcast_to(x_t, rows.shape)])


def _wald(n_c: int, n_t: int, *, pooled: bool) -> FloatArray:
    """z of every table, shape (n_c + 1, n_t + 1); 0 where the rates are equal without variance."""
    x_c, x_t = np.arange(n_c + 1.0)[:, None], np.arange(n_t + 1.0)[None, :]
    p_c, p_t = x_c / n_c, x_t / n_t
    if pooled:
        p = (x_c + x_t) / (n_c + n_t)
        variance = p * (1 - p) * (1 / n_c + 1 / n_t)
    else:
        variance = p_c * (1 - p_c) / n_c + p_t * (1 - p_t) / n_t
    gap = p_t - p_c
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / np.sqrt(np.maximum(variance, 0.0)))


def _log_choose(n: int) -> FloatArray:
    """ln C(n, k) for k = 0 … n."""
    factorials = special.gammaln(np.arange(n + 1) + 1.0)
    return np.asarray(factorials[n] - factorials - factorials[::-1])


def _binomials(log_choose: FloatArray, rates: FloatArray) -> FloatArray:
    """Binomial densities, one row per rate in (0, 1)."""
    n = log_choose.size - 1
    k = np.arange(n + 1)
    log_odds = special.logit(rates)[:, None]
    return np.asarray(np.exp(log_choose + k * log_odds + n * np.log1p(-rates)[:, None]))
