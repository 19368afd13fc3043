"""What another policy would have earned, from logs of one that drew its actions with known probabilities.

Horvitz & Thompson 1952 (IPS), Swaminathan & Joachims 2015 (SNIPS), Dudík, Langford & Li 2011 (DM, DR), Kong 1992
(effective sample size). n logged rounds; `reward` r, `propensity` p = probability with which the logging policy drew
the logged action, `target` π = probability with which the new policy would have drawn it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WeightWarning = Literal["mean_weight_off", "few_effective_rounds", "one_weight_dominates"]

MIN_EFFECTIVE = 100.0
"""Below about a hundred effective rounds a normal or bootstrap interval of a rare reward is fiction."""

MAX_SHARE = 0.05
"""One round that carries more than 5 % of all weight decides the estimate."""

MEAN_WEIGHT_ERRORS = 4.0
"""Standard errors by which the mean weight may miss 1; beyond it the propensities or the support are wrong."""


@dataclass(frozen=True, slots=True)
class WeightReport:
    """Can these logs answer for that policy? Anything in `warnings` means no, or not without clipping."""

    n: int
    mean_weight: float
    max_weight: float
    effective_rounds: float
    warnings: tuple[WeightWarning, ...]


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """An estimate per round with a percentile bootstrap interval."""

    estimate: float
    lower: float
    upper: float
    level: float


def importance_weights(
    propensity: NDArray[np.float64], target: NDArray[np.float64], *, clip: float | None = None
) -> NDArray[np.float64]:
    """π / p per round, at most `clip`.

    >>> importance_weights(np.array([0.5, 0.1]), np.array([0.25, 0.5])).tolist()
    [0.5, 5.0]
    """
    if propensity.shape != target.shape:
        raise ValueError("propensity and target must have the same length")
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise ValueError("propensity must lie in (0, 1]: a round whose action could not be drawn cannot be in the log")
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError("target must lie in [0, 1]")
    weights: NDArray[np.float64] = target / propensity
    return weights if clip is None else np.minimum(weights, clip)


def report_weights(weights: NDArray[np.float64]) -> WeightReport:
    """Diagnostics; (Σw)² / Σw² is the effective number of rounds."""
    total = float(weights.sum())
    squares = float((weights**2).sum())
    effective = total**2 / squares if squares else 0.0
    mean = float(weights.mean())
    largest = float(weights.max())
    error = float(weights.std(ddof=1)) / float(np.sqrt(weights.size)) if weights.size > 1 else float("inf")
    found: list[WeightWarning] = []
    if abs(mean - 1.0) > MEAN_WEIGHT_ERRORS * error:
        found.append("mean_weight_off")
    if effective < MIN_EFFECTIVE:
        found.append("few_effective_rounds")
    if total > 0 and largest / total > MAX_SHARE:
        found.append("one_weight_dominates")
    return WeightReport(
        n=int(weights.size),
        mean_weight=mean,
        max_weight=largest,
        effective_rounds=effective,
        warnings=tuple(found),
    )


def ips(reward: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Mean of w · r: unbiased where the new policy does nothing the old one never did.

    >>> ips(np.array([1.0, 0.0]), np.array([0.5, 5.0]))
    0.25
    """
    return float((weights * reward).mean())


def snips(reward: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Σ w · r / Σ w: a little biased, much less noisy; NaN when all weights are zero."""
    total = float(weights.sum())
    return float((weights * reward).sum()) / total if total else float("nan")


def direct(expected: NDArray[np.float64]) -> float:
    """Mean of a reward model's expectation under the new policy: as good as the model."""
    return float(expected.mean())


def doubly_robust(
    reward: NDArray[np.float64],
    weights: NDArray[np.float64],
    predicted: NDArray[np.float64],
    expected: NDArray[np.float64],
    *,
    self_normalized: bool = False,
) -> float:
    """Direct estimate plus the weighted residuals; right if either the model or the propensities are.

    `predicted`: the model's reward of the logged action; `expected`: its expectation under the new policy. With
    `self_normalized` the residuals are divided by Σ w instead of n (SNDR).
    """
    residuals = weights * (reward - predicted)
    scale = float(weights.sum()) if self_normalized else float(weights.size)
    return direct(expected) + (float(residuals.sum()) / scale if scale else float("nan"))


def bootstrap(
    estimator: Callable[[NDArray[np.intp]], float],
    n: int,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> PolicyValue:
    """Percentile interval of `estimator(rows)` over resampled rounds (Efron 1979)."""
    if n < 2:
        raise ValueError("a bootstrap needs at least two rounds")
    values = np.array([estimator(rng.integers(n, size=n)) for _ in range(draws)])
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return PolicyValue(estimate=estimator(np.arange(n)), lower=float(lower), upper=float(upper), level=level)
