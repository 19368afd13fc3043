"""Exact tests of two proportions, for arms with few events, where normal theory is wrong.

Up to `BOSCHLOO_MAX` units per arm Boschloo's unconditional test (uniformly more powerful than
Fisher's), above it Fisher's conditional test with the mid-p. Two-sided p-values double the smaller
one-sided one (central). The intervals are Miettinen–Nurminen score intervals and say so: inverting
Boschloo's test for each difference would take seconds, and the mid-p test's own interval is one of
the odds ratio. Whether they hold "no effect" is for the exact test to say: in one table of fifty the
score test would say otherwise (p up to 0.2 instead of 0.05), and there the bound moves to no effect.

Sources: R. D. Boschloo, "Raised conditional level of significance for the 2 × 2 table", Statistica
Neerlandica 24 (1970); H. O. Lancaster, JASA 56 (1961), for the mid-p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.stats.densities import hypergeometric
from experiments.stats.estimates import LiftMethod
from experiments.stats.proportion import compare_proportions
from experiments.stats.results import Alternative, BoolArray, Comparison, FloatArray, Interval, Reason
from experiments.stats.score import Counts, miettinen_nurminen, miettinen_nurminen_ratio
from experiments.stats.unconditional import TIE, boschloo_p_value

MIN_EVENTS = 25  # events (and non-events) per arm from which normal theory holds; see docs/statistics.md
BOSCHLOO_MAX = 200  # units per arm; the table of all outcomes grows with its square
BESIDE = 1e-9  # share of the estimate between 0 and a bound that must leave 0 out
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
    finite = np.isfinite(counts.successes_control + counts.n_control + counts.successes_treatment + counts.n_treatment)
    occupied = (counts.n_control > 0) & (counts.n_treatment > 0) & finite
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
    rejected = p_value < alpha
    difference = miettinen_nurminen(counts, alpha=alpha, alternative=alternative).interval
    difference = _agreeing(difference, wald.effect, rejected)
    ratio = miettinen_nurminen_ratio(counts, alpha=alpha, alternative=alternative).interval
    ratio = _agreeing(ratio, wald.lift, rejected)
    lifted = np.isfinite(wald.lift)
    unknown = np.where(finite, np.int8(Reason.TOO_FEW_UNITS), np.int8(Reason.NOT_FINITE))
    known = np.where(occupied, np.int8(0), unknown)
    no_lift = np.where(lifted, np.int8(0), np.int8(Reason.NON_POSITIVE_MEAN))
    methods = {exact_method(*_table(counts, index)[1::2]) for index in np.ndindex(p_value.shape) if occupied[index]}
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


def _agreeing(interval: Interval, estimate: FloatArray, rejected: BoolArray) -> Interval:
    """The interval with its bound at 0 where it holds 0 against the test, or leaves it out against it.

    A bound that must leave 0 out stops `BESIDE` of the estimate short of it.
    """
    nearest = np.where(rejected, BESIDE * estimate, 0.0)
    lower, upper = interval.lower, interval.upper
    wrong = interval.contains(0.0) == rejected
    below, above = wrong & (estimate > 0), wrong & (estimate < 0)
    return replace(interval, lower=np.where(below, nearest, lower), upper=np.where(above, nearest, upper))


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
