"""The purchase models against the published numbers of CDNOW, and against people simulated from known parameters."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from marketing.portrait.btyd import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma

# The 2,357 customers of the papers (x, t_x and T in weeks, mean repeat purchase), as public data sets have them.
CDNOW = Path(__file__).parent / "cdnow.csv"
PAPER = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)


def cdnow() -> dict[str, np.ndarray]:
    with CDNOW.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in ("x", "t_x", "age", "mean")}


def test_fit_bg_nbd__cdnow__is_as_published() -> None:
    """Fader, Hardie, Lee (2005), table 2: r = .243, alpha = 4.414, a = .793, b = 2.426."""
    data = cdnow()
    model = fit_bg_nbd(x=data["x"], t_x=data["t_x"], age=data["age"])
    assert model is not None
    found = (model.r, model.alpha, model.a, model.b)
    assert found == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=5e-4)


def test_fit_gamma_gamma__cdnow__is_as_published() -> None:
    """Fader, Hardie (2013): p = 6.25, q = 3.74, v = 15.44 from the 946 customers who came back."""
    data = cdnow()
    again = data["x"] > 0
    model = fit_gamma_gamma(n=data["x"][again], mean=data["mean"][again])
    assert again.sum() == 946
    assert model is not None
    assert (model.p, model.q, model.v) == pytest.approx((6.25, 3.74, 15.44), abs=0.01)


def test_expected__the_papers_customer__is_1_226() -> None:
    """The worked example of the paper's spreadsheet: x = 2, t_x = 30.43, T = 38.86, 39 weeks ahead."""
    found = PAPER.expected(np.array([2.0]), np.array([30.43]), np.array([38.86]), 39.0)
    assert found == pytest.approx([1.226], abs=5e-4)


def test_expected__many_purchases_and_a_at_one__stays_finite() -> None:
    x, age = np.array([0.0, 5.0, 5_000.0]), np.array([39.0, 39.0, 39.0])
    t_x = np.array([0.0, 30.0, 39.0])
    for a in (0.5, 1.0, 1.5):
        model = BgNbd(r=0.243, alpha=4.414, a=a, b=2.426)
        near = BgNbd(r=0.243, alpha=4.414, a=a + 1e-4, b=2.426)
        found = model.expected(x, t_x, age, 39.0)
        assert np.all(np.isfinite(found))
        assert found == pytest.approx(near.expected(x, t_x, age, 39.0), rel=1e-2)


def test_fit__simulated_buyers__recovers_the_parameters() -> None:
    rng = np.random.default_rng(1)
    n = 8_000
    rate, leaves = rng.gamma(0.5, 1 / 5.0, n), rng.beta(0.8, 2.5, n)
    age = rng.uniform(27, 39, n)
    x, t_x, clock, is_active = np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    while is_active.any():
        clock += rng.exponential(1 / rate)
        is_active &= clock <= age
        x[is_active] += 1
        t_x[is_active] = clock[is_active]
        is_active &= rng.random(n) >= leaves
    model = fit_bg_nbd(x=x, t_x=t_x, age=age)
    assert model is not None
    assert (model.r, model.alpha) == pytest.approx((0.5, 5.0), rel=0.1)
    assert model.a / (model.a + model.b) == pytest.approx(0.8 / 3.3, rel=0.1)

    orders = (1 + rng.poisson(1.5, n)).astype(np.float64)
    scale = rng.gamma(4.0, 1 / 15.0, n)
    money = fit_gamma_gamma(n=orders, mean=rng.gamma(6.0 * orders, 1 / (scale * orders)))
    assert money is not None
    assert money.p * money.v / (money.q - 1) == pytest.approx(6.0 * 15.0 / 3.0, rel=0.05)


def test_mean_value__more_orders__leans_to_the_persons_own_mean() -> None:
    model = GammaGamma(p=6.25, q=3.74, v=15.44)
    found = model.mean_value(np.array([0.0, 1.0, 100.0]), np.array([0.0, 80.0, 80.0]))
    assert found[0] == pytest.approx(6.25 * 15.44 / 2.74)
    assert found[0] < found[1] < found[2] < 80.1


@pytest.mark.parametrize(
    ("x", "t_x", "age"),
    [([-1.0], [0.0], [1.0]), ([1.0], [2.0], [1.0]), ([0.0], [1.0], [2.0]), ([1.0, 2.0], [1.0], [2.0])],
)
def test_fit__impossible_buyers__are_refused(x: list[float], t_x: list[float], age: list[float]) -> None:
    with pytest.raises(ValueError, match=r"x, t_x|each buyer"):
        fit_bg_nbd(x=np.array(x), t_x=np.array(t_x), age=np.array(age))


def test_fit__too_few_or_one_sided__is_none() -> None:
    few = np.ones(10)
    assert fit_bg_nbd(x=few, t_x=few, age=few * 2) is None
    assert fit_gamma_gamma(n=few, mean=few) is None
    nobody_back = np.zeros(500)
    assert fit_bg_nbd(x=nobody_back, t_x=nobody_back, age=nobody_back + 9) is None
    with pytest.raises(ValueError, match="each buyer"):
        fit_gamma_gamma(n=few * 0, mean=few)
    with pytest.raises(ValueError, match="horizon"):
        PAPER.expected(few, few, few, 0.0)
