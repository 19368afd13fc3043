from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from experiments.stats.bayes import NormalPrior, beta_posterior, chance_to_be_best, normal_posterior
from experiments.stats.results import IntervalKind, Reason


def test_normal_posterior__flat_prior__is_the_estimate_itself() -> None:
    told = normal_posterior(0.3, 0.1)
    assert (float(told.mean), float(told.sd)) == pytest.approx((0.3, 0.1))
    assert float(told.chance_to_win) == pytest.approx(stats.norm.cdf(3))
    assert told.interval.kind is IntervalKind.CREDIBLE


def test_normal_posterior__losses__are_the_integrals() -> None:
    told = normal_posterior(0.02, 0.03, prior=NormalPrior(0.01, 0.05))
    law = stats.norm(float(told.mean), float(told.sd))
    ship, _ = integrate.quad(lambda e: max(-e, 0) * law.pdf(e), -1, 1, points=[0.0], epsabs=1e-14)
    keep, _ = integrate.quad(lambda e: max(e, 0) * law.pdf(e), -1, 1, points=[0.0], epsabs=1e-14)
    assert float(told.loss_treatment) == pytest.approx(ship, rel=1e-9)
    assert float(told.loss_control) == pytest.approx(keep, rel=1e-9)


@given(effect=st.floats(-5, 5), error=st.floats(0.01, 5))
def test_normal_posterior__decrease_is_good__mirrors(effect: float, error: float) -> None:
    prior = NormalPrior(0.0, 0.5)
    up = normal_posterior(effect, error, prior=prior)
    down = normal_posterior(effect, error, prior=prior, increase_is_good=False)
    assert float(up.chance_to_win + down.chance_to_win) == pytest.approx(1)
    assert float(up.loss_treatment) == float(down.loss_control)
    assert float(up.loss_control - up.loss_treatment) == pytest.approx(float(up.mean), abs=1e-12)
    assert abs(float(up.mean)) <= abs(effect)


def test_normal_posterior__undefined__says_why() -> None:
    told = normal_posterior([0.1, math.nan, 0.1], [0.0, 1.0, 1.0], control_mean=[1.0, 1.0, 0.0])
    assert [Reason(int(code)) for code in told.reasons] == [
        Reason.NO_VARIANCE,
        Reason.NOT_FINITE,
        Reason.NO_CONTROL_VALUE,
    ]
    assert np.isnan(told.chance_to_win).all()
    assert np.isnan(told.loss_treatment).all()


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.0), (0.0, -1.0), (math.inf, 1.0), (0.0, math.nan)])
def test_normal_prior__impossible__is_refused(mean: float, sd: float) -> None:
    with pytest.raises(ValueError, match="prior"):
        NormalPrior(mean, sd)


def test_beta_posterior__no_conversions_anywhere__is_even() -> None:
    told = beta_posterior(0, 20, 0, 20)
    assert float(told.chance_to_win) == pytest.approx(0.5)
    assert float(told.mean) == pytest.approx(0, abs=1e-15)
    assert float(told.interval.lower) == pytest.approx(-float(told.interval.upper), rel=1e-4)


def test_beta_posterior__small_integers__agrees_with_the_integral() -> None:
    a_c, b_c, a_t, b_t = 4, 8, 6, 7
    chance = integrate.quad(lambda p: stats.beta.sf(p, a_t, b_t) * stats.beta.pdf(p, a_c, b_c), 0, 1, epsabs=1e-14)[0]
    told = beta_posterior(a_c - 1, a_c + b_c - 2, a_t - 1, a_t + b_t - 2)
    assert float(told.chance_to_win) == pytest.approx(chance, rel=1e-12)


def test_beta_posterior__against_draws__agrees() -> None:
    rng = np.random.default_rng(20261124)
    gap = rng.beta(1.5, 9.5, 400_000) - rng.beta(0.5, 10.5, 400_000)
    told = beta_posterior(0, 10, 1, 10, prior=(0.5, 0.5), level=0.9)
    assert float(told.chance_to_win) == pytest.approx((gap > 0).mean(), abs=0.004)
    assert float(told.loss_treatment) == pytest.approx(np.maximum(-gap, 0).mean(), abs=0.0005)
    assert [float(told.interval.lower), float(told.interval.upper)] == pytest.approx(
        np.quantile(gap, [0.05, 0.95]), abs=0.003
    )


def test_beta_posterior__arrays__equal_single_calls() -> None:
    many = beta_posterior([[10], [20]], 100, [15, 25, 0], 120)
    one = beta_posterior(20, 100, 25, 120)
    assert many.mean.shape == (2, 3)
    assert float(many.chance_to_win[1, 1]) == pytest.approx(float(one.chance_to_win), rel=1e-13)
    assert float(many.interval.upper[1, 1]) == pytest.approx(float(one.interval.upper), rel=1e-9)


def test_beta_posterior__decrease_is_good__mirrors() -> None:
    up = beta_posterior(30, 100, 20, 100)
    down = beta_posterior(30, 100, 20, 100, increase_is_good=False)
    assert float(up.chance_to_win + down.chance_to_win) == pytest.approx(1)
    assert float(down.loss_treatment) == float(up.loss_control)


@pytest.mark.parametrize(
    ("counts", "prior"), [((5, 4, 1, 9), (1.0, 1.0)), ((-1, 4, 1, 9), (1.0, 1.0)), ((1, 4, 1, 9), (0.0, 1.0))]
)
def test_beta_posterior__impossible_input__is_refused(
    counts: tuple[int, int, int, int], prior: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match=r"conversions|prior"):
        beta_posterior(*counts, prior=prior)


def test_chance_to_be_best__two_arms__is_the_normal_law_of_the_difference() -> None:
    chance = chance_to_be_best([0.0, 0.4], [1.0, 0.5])
    assert chance[1] == pytest.approx(stats.norm.cdf(0.4 / math.sqrt(1.25)), rel=1e-12)
    assert chance.sum() == pytest.approx(1)


def test_chance_to_be_best__very_unequal_sds__agrees_with_draws() -> None:
    means, sds = np.array([0.0, 0.05, 0.02]), np.array([1e-3, 0.2, 0.04])
    draws = np.random.default_rng(20261124).normal(means, sds, (400_000, 3))
    best = np.bincount(draws.argmax(axis=1), minlength=3) / 400_000
    worst = np.bincount(draws.argmin(axis=1), minlength=3) / 400_000
    assert chance_to_be_best(means, sds) == pytest.approx(best, abs=0.004)
    assert chance_to_be_best(means, sds, increase_is_good=False) == pytest.approx(worst, abs=0.004)


def test_chance_to_be_best__zero_sd__is_refused() -> None:
    with pytest.raises(ValueError, match="sds"):
        chance_to_be_best([0.0, 1.0], [1.0, 0.0])


# Exact rational sums (P. Miller 2015; E[(C − T)⁺] from the same sum with one more success), 80 digits.
TAILS = [
    ((400, 1000, 700, 1000), 2.40884029261784e-42, 3.93013398818507e-45),
    ((50, 1000, 120, 1000), 7.08565255537865e-09, 1.49878541167539e-11),
    ((0, 50, 40, 50), 2.25663593606e-19, 2.61223726728356e-21),
    ((3, 10_000, 60, 100), 3.07118223303904e-128, 3.2003108453421e-132),
    ((300, 1_000, 2, 3), 0.0844167538936523, 0.00675496457873117),
    ((1, 10, 1, 10_000_000), 1 - 0.9999999999967, None),
]


@pytest.mark.parametrize(("counts", "upset", "loss"), TAILS)
def test_beta_posterior__far_apart__small_sides_keep_their_digits(
    counts: tuple[int, int, int, int], upset: float, loss: float | None
) -> None:
    up = beta_posterior(*counts)
    down = beta_posterior(*counts, increase_is_good=False)
    mirrored = beta_posterior(*counts[2:], *counts[:2])
    assert min(down.chance_to_win, up.chance_to_win) == pytest.approx(upset, rel=1e-4 if loss is None else 1e-10)
    assert up.chance_to_win + down.chance_to_win == pytest.approx(1.0, abs=1e-15)
    assert mirrored.chance_to_win == pytest.approx(float(down.chance_to_win), rel=1e-10)
    if loss is not None:
        for told in (up.loss_treatment, down.loss_control, mirrored.loss_control):
            assert told == pytest.approx(loss, rel=1e-10)
    assert up.loss_control - up.loss_treatment == pytest.approx(float(up.mean), rel=1e-12)


def test_beta_posterior__losses__agree_with_the_normal_law_in_large_samples() -> None:
    rate, units, gain = 0.1, 10**9, 1e-4
    told = beta_posterior(rate * units, units, (rate + gain) * units, units)
    normal = normal_posterior(gain, (2 * rate * (1 - rate) / units) ** 0.5)
    assert told.loss_treatment == pytest.approx(float(normal.loss_treatment), rel=0.02)
    assert told.chance_to_win == pytest.approx(float(normal.chance_to_win), rel=1e-6)


@pytest.mark.parametrize("prior", [(0.5, 0.5), (1.0, 1.0), (0.01, 0.01), (5.0, 1.0)])
def test_beta_posterior__no_units__is_even(prior: tuple[float, float]) -> None:
    told = beta_posterior(0, 0, 0, 0, prior=prior)
    assert told.chance_to_win == pytest.approx(0.5, rel=1e-12)
    assert told.loss_treatment == pytest.approx(float(told.loss_control), rel=1e-12)


def test_beta_posterior__certain_of_nothing__losses_below_doubles_are_zero() -> None:
    told = beta_posterior(0, 10**9, 10**9, 10**9)
    assert (float(told.chance_to_win), float(told.loss_treatment)) == (1.0, 0.0)


def test_beta_posterior__nothing_given__nothing_told() -> None:
    assert beta_posterior([], 1, [], 1).loss_control.shape == (0,)
