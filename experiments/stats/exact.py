"""Exact tests of two proportions, for arms with few events, where normal theory is wrong.

Up to `BOSCHLOO_MAX` units per arm Boschloo's unconditional test (uniformly more powerful than
Fisher's), above it Fisher's conditional test with the mid-p. Two-sided p-values double the smaller
one-sided one (central). The intervals are Miettinen–Nurminen score intervals and say so: inverting
Boschloo's test for each difference would take seconds, and the mid-p test's own interval is one of
the odds ratio. They can disagree with the exact p-value within the last few percent of alpha.

Sources: R. D. Boschloo, "Raised conditional level of significance for the 2 × 2 table", Statistica
Neerlandica 24 (1970); H. O. Lancaster, JASA 56 (1961), for the mid-p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from experiments.stats.densities import hypergeometric
from experiments.stats.estimates import LiftMethod
from experiments.stats.proportion import compare_proportions
from experiments.stats.results import Alternative, BoolArray, Comparison, FloatArray, Interval, Reason
from experiments.stats.score import Counts, miettinen_nurminen, miettinen_nurminen_ratio

MIN_EVENTS = 25  # events (and non-events) per arm from which normal theory holds; see docs/statistics.md
BOSCHLOO_MAX = 200  # units per arm; the table of all outcomes grows with its square
TIE = 1e-9  # relative rounding error of a Fisher p-value, far under the gap between tables that differ
GRID = 200  # nuisance rates tried first: on the scale of angles a peak is wider than 3 of their steps
WORTH = 0.9  # local maxima of the grid at least this share of the highest are refined
ZOOMS = 8  # each narrows a maximum's cell fivefold
TAIL_TERMS = 100_000  # a hypergeometric tail is over long before

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class RegimeComparison:
    """A comparison of proportions with the regime of each element."""

    comparison: Comparison
    exact: BoolArray


def needs_exact(
    successes_control: ArrayLike, n_control: ArrayLike, successes_treatment: ArrayLike, n_treatment: ArrayLike
) -> BoolArray:
    """Whether an arm has fewer than 25 events or fewer than 25 non-events.

    >>> needs_exact(50, 10_000, [0, 50], 10_000).tolist()
    [True, False]
    """
    c = Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    events = np.minimum(c.successes_control, c.successes_treatment)
    others = np.minimum(c.n_control - c.successes_control, c.n_treatment - c.successes_treatment)
    return np.asarray(np.minimum(events, others) < MIN_EVENTS)


def compare_by_regime(
    successes_control: ArrayLike,
    n_control: ArrayLike,
    successes_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> RegimeComparison:
    """Wald where both arms have 25 events and non-events, the exact regime elsewhere.

    >>> result = compare_by_regime(50, 10_000, [0, 50], 10_000)
    >>> result.exact.tolist(), result.comparison.p_value.tolist()
    ([True, False], [8.35...e-16, 1.0])
    """
    counts = Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    table = (counts.successes_control, counts.n_control, counts.successes_treatment, counts.n_treatment)
    exact = needs_exact(*table)
    wald = compare_proportions(*table, alpha=alpha, alternative=alternative, lift_method=lift_method)
    if not exact.any():
        return RegimeComparison(wald, exact)
    few = tuple(a[exact] for a in table)
    small = compare_exact(few[0], few[1], few[2], few[3], alpha=alpha, alternative=alternative)
    merged = replace(
        wald,
        effect_ci=_put_interval(exact, small.effect_ci, wald.effect_ci),
        p_value=_put(exact, small.p_value, wald.p_value),
        lift_ci=_put_interval(exact, small.lift_ci, wald.lift_ci),
        lift_p_value=_put(exact, small.lift_p_value, wald.lift_p_value),
        method=small.method if exact.all() else f"{wald.method} or {small.method}",
        reasons=_put(exact, small.reasons, wald.reasons),
        lift_reasons=_put(exact, small.lift_reasons, wald.lift_reasons),
    )
    return RegimeComparison(merged, exact)


def compare_exact(
    successes_control: ArrayLike,
    n_control: ArrayLike,
    successes_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> Comparison:
    """Exact p-values with score intervals; counts of any common shape, ≤ 50 ms per element.

    The same p-value serves the lift (equal rates are one hypothesis on both scales); the lift and
    its interval are undefined where an arm has no event. No event at all is a real answer too: p = 1.

    >>> result = compare_exact(50, 10_000, 0, 10_000).at()
    >>> result.p_value, result.method
    (8.35...e-16, 'fisher-mid-p')
    >>> compare_exact(3, 20, 10, 22).at().method
    'boschloo'
    """
    counts = Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    occupied = (counts.n_control > 0) & (counts.n_treatment > 0)
    p_value = np.full(counts.n_control.shape, np.nan)
    for index in np.ndindex(p_value.shape):
        if occupied[index]:
            p_value[index] = exact_p_value(*_table(counts, index), alternative=alternative)
    wald = compare_proportions(
        counts.successes_control,
        counts.n_control,
        counts.successes_treatment,
        counts.n_treatment,
        alpha=alpha,
        alternative=alternative,
    )
    difference = miettinen_nurminen(counts, alpha=alpha, alternative=alternative).interval
    ratio = miettinen_nurminen_ratio(counts, alpha=alpha, alternative=alternative).interval
    lifted = np.isfinite(wald.lift)
    known = np.where(occupied, np.int8(0), np.int8(Reason.TOO_FEW_UNITS))
    no_lift = np.where(lifted, np.int8(0), np.int8(Reason.NON_POSITIVE_MEAN))
    methods = {
        exact_method(int(c), int(t)) for c, t in zip(counts.n_control.flat, counts.n_treatment.flat, strict=True)
    }
    return replace(
        wald,
        effect_ci=difference,
        p_value=p_value,
        lift_ci=replace(
            ratio, lower=np.where(lifted, ratio.lower, np.nan), upper=np.where(lifted, ratio.upper, np.nan)
        ),
        lift_p_value=np.where(lifted, p_value, np.nan),
        method=" or ".join(sorted(methods)),
        reasons=known,
        lift_reasons=np.where(occupied, no_lift, known),
    )


def exact_method(n_control: int, n_treatment: int) -> str:
    """The test that `exact_p_value` takes: "boschloo" up to 200 units per arm, else "fisher-mid-p".

    >>> exact_method(200, 200), exact_method(200, 201)
    ('boschloo', 'fisher-mid-p')
    """
    return "boschloo" if max(n_control, n_treatment) <= BOSCHLOO_MAX else "fisher-mid-p"


def exact_p_value(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> float:
    """Boschloo's p-value up to 200 units per arm, Fisher's mid-p above.

    >>> round(exact_p_value(20, 100, 33, 110), 6), round(exact_p_value(0, 1000, 8, 1000), 6)
    (0.107216, 0.003852)
    """
    table = successes_control, n_control, successes_treatment, n_treatment
    if exact_method(n_control, n_treatment) == "boschloo":
        return boschloo_p_value(*table, alternative=alternative)
    return fisher_p_value(*table, alternative=alternative, mid_p=True)


def fisher_p_value(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
    mid_p: bool = False,
) -> float:
    """Fisher's conditional p-value of one table.

    Without `mid_p` the two-sided p-value sums all tables no more probable than the observed (what
    scipy and R call Fisher's test); with it, the smaller one-sided mid-p is doubled (central), so
    that both sides spend the same. Raises ValueError for impossible counts.

    >>> round(fisher_p_value(20, 100, 33, 110), 6), round(fisher_p_value(20, 100, 33, 110, mid_p=True), 6)
    (0.112508, 0.098928)
    """
    Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    total = successes_control + successes_treatment
    lowest, highest = max(0, total - n_control), min(total, n_treatment)
    margins = (n_treatment, n_control, total)
    if mid_p:
        return _central_mid_p(successes_treatment, margins, (lowest, highest), alternative)
    density = hypergeometric(np.arange(lowest, highest + 1), *margins)
    place = successes_treatment - lowest
    if alternative == Alternative.GREATER:
        return min(1.0, float(density[place:].sum()))
    if alternative == Alternative.LESS:
        return min(1.0, float(density[: place + 1].sum()))
    return min(1.0, float(density[density <= density[place] * (1 + TIE)].sum()))


def boschloo_p_value(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> float:
    """Boschloo's unconditional p-value: the largest chance of a Fisher p-value as small as this.

    Two-sided: twice the smaller one-sided p-value, at most 1. The supremum over the common rate is
    searched on a grid and refined around its highest points. Raises ValueError for impossible counts.

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


def _central_mid_p(x: int, margins: tuple[int, int, int], support: tuple[int, int], alternative: Alternative) -> float:
    """One-sided mid-p-values add up to one: sum the tail away from the mean, take the other from 1."""
    marked, others, drawn = margins
    above = x >= drawn * marked / (marked + others)
    if above:
        terms = np.arange(x, min(support[1], x + TAIL_TERMS) + 1)
    else:
        terms = np.arange(max(support[0], x - TAIL_TERMS), x + 1)[::-1]
    density = hypergeometric(terms, *margins)
    tail = float(density[1:].sum() + 0.5 * density[0])
    if alternative == Alternative.TWO_SIDED:
        return min(1.0, 2 * min(tail, 1 - tail))
    return tail if above == (alternative == Alternative.GREATER) else 1 - tail


def _boschloo_greater(x_c: int, n_c: int, x_t: int, n_t: int, *, enough: float = 1.0) -> float:
    """sup over π of P(Fisher's p of "treatment greater" ≤ the observed one); stops once ≥ `enough`."""
    choose_c, choose_t = _log_choose(n_c), _log_choose(n_t)
    extreme = _fisher_greater(choose_c, choose_t)
    region = extreme <= extreme[x_c, x_t] * (1 + TIE)
    # more events in the treatment are more extreme: each row of the region ends at the right
    start = n_t + 1 - region.sum(axis=1)

    def chance(angles: FloatArray) -> FloatArray:
        rates = np.square(np.sin(angles))
        control, treatment = _binomials(choose_c, rates), _binomials(choose_t, rates)
        tails = np.zeros((rates.size, n_t + 2))
        tails[:, :-1] = treatment[:, ::-1].cumsum(axis=1)[:, ::-1]
        return np.asarray((control * tails[:, start]).sum(axis=1))

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
        tried = centres[:, None] + np.linspace(-step, step, 11)
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


def _put(place: BoolArray, values: NDArray[Number], into: NDArray[Number]) -> NDArray[Number]:
    """A copy of `into` with `values` at the places."""
    result = np.array(into)
    result[place] = values
    return result


def _put_interval(place: BoolArray, one: Interval, into: Interval) -> Interval:
    method = one.method if place.all() else f"{into.method} or {one.method}"
    lower, upper = _put(place, one.lower, into.lower), _put(place, one.upper, into.upper)
    return replace(into, lower=lower, upper=upper, method=method)


def _table(counts: Counts, index: tuple[int, ...]) -> tuple[int, int, int, int]:
    return (
        round(float(counts.successes_control[index])),
        round(float(counts.n_control[index])),
        round(float(counts.successes_treatment[index])),
        round(float(counts.n_treatment[index])),
    )
