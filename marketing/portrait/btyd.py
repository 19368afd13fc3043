"""Buy till you die: how likely a buyer is still one, and how much more they will buy and spend.

BG/NBD: Fader, Hardie, Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model,
Marketing Science 24(2). Gamma-gamma: Fader, Hardie (2013), The Gamma-Gamma Model of Monetary Value. Why these are
written here: docs/adr/0013-own-purchase-models.md.

A buyer is (x, t_x, age): x repeat purchases, the last of them t_x after the first purchase, which is age ago (T in the
papers); x = 0 means
t_x = 0. Times are in one unit (days here), 0 ≤ t_x ≤ age.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1, logsumexp

Floats = NDArray[np.float64]
_Model = TypeVar("_Model")

FEWEST_BUYERS: Final = 50
"""Four parameters from fewer buyers say more about the optimizer than about the buyers."""
FEWEST_REPEATERS: Final = 20
_BOUND: Final = 15.0  # of the logarithms of parameters: beyond it the likelihood is flat
_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class BgNbd:
    """BG/NBD: purchase rates are gamma(r, alpha), the chance to leave after a purchase is beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        """Return the probability of being active now, shape (n,): Fader et al. (2008), "Computing P(alive)", eq. 1.

        Somebody who never came back cannot have left (the model lets people leave after a repeat purchase only).

        >>> model = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.alive(np.array([2.0]), np.array([30.43]), np.array([38.86])).round(4)
        array([0.7266])
        """
        # log of a / (b + x − 1) · ((alpha + T) / (alpha + t_x))^(r + x); x = 0 is set apart.
        repeats = np.maximum(x, 1.0)
        odds = np.log(self.a / (self.b + repeats - 1.0)) + (self.r + repeats) * (
            np.log(self.alpha + age) - np.log(self.alpha + t_x)
        )
        return np.where(x > 0, expit(-odds), 1.0)

    def expected(self, x: Floats, t_x: Floats, age: Floats, horizon: float) -> Floats:
        """Return the purchases to expect in the next `horizon`, shape (n,): Fader et al. (2005), eq. 10.

        >>> model = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.expected(np.array([2.0]), np.array([30.43]), np.array([38.86]), 39.0).round(3)
        array([1.226])
        """
        if not horizon > 0:
            raise ValueError(f"horizon must be positive, got {horizon}")
        z = horizon / (self.alpha + age + horizon)
        # At a = 1 the formula is 0 · ∞; the limit is continuous, so next to it is near enough.
        a = self.a if abs(self.a - 1.0) > 1e-6 else 1.0 + 1e-6
        first = (a + self.b + x - 1.0) / (a - 1.0)
        # ((alpha + T) / (alpha + T + horizon))^(r + x) · hyp2f1(r + x, b + x; a + b + x − 1; z) in Euler's form
        # (Abramowitz, Stegun 15.3.3): neither factor overflows however often somebody bought.
        series = (1.0 - z) ** (a - 1.0) * hyp2f1(a + self.b - 1.0 - self.r, a - 1.0, a + self.b + x - 1.0, z)
        return np.maximum(first * (1.0 - series) * self.alive(x, t_x, age), 0.0)


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Gamma-gamma: a person's mean order value, given the orders seen; independent of how often they order."""

    p: float
    q: float
    v: float

    def mean_value(self, n: Floats, mean: Floats) -> Floats:
        """Return the expected value of an order, shape (n,): Fader, Hardie (2013), eq. 5.

        `n` orders with the average `mean`; without any (n = 0) it is the population's mean.

        >>> GammaGamma(p=6.25, q=3.74, v=15.44).mean_value(np.array([2.0]), np.array([23.5])).round(2)
        array([25.44])
        """
        return self.p * (self.v + n * mean) / (self.p * n + self.q - 1.0)


def fit_bg_nbd(*, x: Floats, t_x: Floats, age: Floats) -> BgNbd | None:
    """Return the maximum-likelihood fit; None if there are too few buyers or the likelihood has no maximum inside.

    `ValueError` if a buyer cannot be one. The likelihood is eq. 6 of Fader et al. (2005), in logarithms.
    """
    if not (x.shape == t_x.shape == age.shape and x.ndim == 1):
        raise ValueError(f"x, t_x and age must have one shape (n,), got {x.shape}, {t_x.shape}, {age.shape}")
    if x.size and (np.any(x < 0) or np.any(t_x < 0) or np.any(t_x > age) or np.any((x == 0) & (t_x > 0))):
        raise ValueError("each buyer needs x >= 0 and 0 <= t_x <= age, and t_x = 0 where x = 0")
    if x.size < FEWEST_BUYERS or np.count_nonzero(x) < FEWEST_REPEATERS or not age.max() > 0:
        return None
    # In units of the longest observation, so that alpha starts near 1 whatever the unit is.
    unit = float(age.max())
    scaled_t_x, scaled_age = t_x / unit, age / unit
    repeats = np.maximum(x, 1.0)
    again = x > 0

    def loss(logs: Floats) -> float:
        r, alpha, a, b = np.exp(logs)
        start = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + scaled_age)
        leaves = np.where(
            again, betaln(a + 1.0, b + repeats - 1.0) - betaln(a, b) - (r + x) * np.log(alpha + scaled_t_x), -np.inf
        )
        return -float(np.mean(start + logsumexp(np.stack([stays, leaves]), axis=0)))

    return _fitted(loss, start=np.log([0.5, 0.2, 1.0, 2.0]), make=lambda r, s, a, b: BgNbd(r, s * unit, a, b))


def fit_gamma_gamma(*, n: Floats, mean: Floats) -> GammaGamma | None:
    """Return the maximum-likelihood fit over people with n ≥ 1 orders of the average `mean` > 0; None as above.

    The likelihood is eq. 1a of Fader, Hardie (2013). The mean exists for q > 1 only: else None.
    """
    if n.shape != mean.shape or n.ndim != 1:
        raise ValueError(f"n and mean must have one shape (n,), got {n.shape}, {mean.shape}")
    if n.size and (np.any(n < 1) or np.any(mean <= 0)):
        raise ValueError("each buyer needs n >= 1 and mean > 0")
    if n.size < FEWEST_BUYERS or np.count_nonzero(n > 1) < FEWEST_REPEATERS:
        return None
    unit = float(mean.mean())
    scaled = mean / unit
    log_mean, log_n = np.log(scaled), np.log(n)

    def loss(logs: Floats) -> float:
        p, q, v = np.exp(logs)
        shape = p * n
        terms = (
            gammaln(shape + q)
            - gammaln(shape)
            - gammaln(q)
            + q * np.log(v)
            + (shape - 1.0) * log_mean
            + shape * log_n
            - (shape + q) * np.log(n * scaled + v)
        )
        return -float(np.mean(terms))

    model = _fitted(loss, start=np.log([5.0, 4.0, 1.0]), make=lambda p, q, v: GammaGamma(p, q, v * unit))
    return None if model is None or model.q <= 1.0 else model


def _fitted(loss: Callable[[Floats], float], *, start: Floats, make: Callable[..., _Model]) -> _Model | None:
    """Minimize over the logarithms of the parameters; None where the minimum lies at the edge."""
    found = minimize(
        loss,
        start,
        method="Nelder-Mead",
        options={"maxiter": 4_000, "maxfev": 4_000, "xatol": _TOLERANCE, "fatol": _TOLERANCE},
    )
    if not found.success or not np.all(np.isfinite(found.x)) or np.any(np.abs(found.x) > _BOUND):
        return None
    return make(*(float(value) for value in np.exp(found.x)))
