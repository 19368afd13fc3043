"""Densities of counts without cancellation, right to the last digits for billions of units.

Source: C. Loader, "Fast and accurate computation of binomial probabilities" (2000).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.results import FloatArray

STIRLING_FROM = 16  # the series below is exact to a double from here on


def hypergeometric(x: ArrayLike, marked: int, others: int, drawn: int) -> FloatArray:
    """P(X = x) of x marked among `drawn` from `marked` and `others`, to full precision.

    Loader's form: a product of three binomial densities, none of which cancels.

    >>> hypergeometric([0, 1, 2], 2, 3, 2).round(6).tolist()
    [0.3, 0.6, 0.1]
    """
    k = np.asarray(x, dtype=np.float64)
    share = drawn / (marked + others)
    return np.asarray(
        binomial(k, float(marked), share)
        * binomial(drawn - k, float(others), share)
        / binomial(np.asarray(float(drawn)), float(marked + others), share)
    )


def binomial(x: FloatArray, n: float, p: float) -> FloatArray:
    """P(X = x) of a binomial with n trials of probability p, to full precision; 0 outside 0 … n.

    >>> binomial(np.array([0.0, 1.0, 2.0]), 2.0, 0.5).round(6).tolist()
    [0.25, 0.5, 0.25]
    """
    inside = (x >= 0) & (x <= n)
    k = np.where(inside, x, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_density = (
            _stirling_error(np.asarray(n))
            - _stirling_error(k)
            - _stirling_error(n - k)
            - _deviance(k, n * p)
            - _deviance(n - k, n * (1 - p))
        )
        density = np.exp(log_density) * np.sqrt(n / (2 * np.pi * k * (n - k)))
    density = np.where(k == 0, np.exp(special.xlog1py(n, -p)), density)
    density = np.where(k == n, np.exp(special.xlogy(n, p)), density)
    return np.where(inside, density, 0.0)


def logit_beta(u: FloatArray, v: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Density of the logit of a Beta(a, b) variable at u, v = 1 − u given beside it; arrays broadcast.

    u^a v^b / B(a, b), Loader's way: the deviances of a and b from their expectations do not cancel.

    >>> round(float(logit_beta(np.array(0.25), np.array(0.75), np.array(2.0), np.array(1.0))), 12)
    0.09375
    """
    n = a + b
    with np.errstate(divide="ignore", invalid="ignore"):
        log_constant = (
            np.log(a * (b / n) / (2 * np.pi)) / 2 + _stirling_error(n) - _stirling_error(a) - _stirling_error(b)
        )
        return np.asarray(np.exp(log_constant - _deviance(a, n * u) - _deviance(b, n * v)))


def _stirling_error(n: FloatArray) -> FloatArray:
    """ln n! minus Stirling's formula."""
    small = np.minimum(n, STIRLING_FROM)
    with np.errstate(divide="ignore", invalid="ignore"):
        direct = special.gammaln(small + 1) - (small + 0.5) * np.log(small) + small - 0.5 * math.log(2 * math.pi)
        square = np.square(n)
        series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188) / square) / square) / square) / square) / n
    return np.where(n < STIRLING_FROM, direct, series)


def _deviance(x: FloatArray, mean: float | FloatArray) -> FloatArray:
    """x ln(x / mean) + mean − x, by its series where x is near the mean."""
    v = (x - mean) / (x + mean)
    near = np.abs(v) < 0.1
    w = np.where(near, v, 0.0)
    total = 2 * x * w
    series = (x - mean) * w
    power = w * w
    for j in range(1, 12):
        total = total * power
        series = series + total / (2 * j + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        direct = special.xlogy(x, x / mean) + mean - x
    return np.where(near, series, direct)
