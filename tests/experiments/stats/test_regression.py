"""Lin's regression and ANCOVA from aggregates: against row-level OLS with HC2, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.stats.aggregates import Aggregates, aggregate
from experiments.stats.regression import compare_ancova, compare_interacted, interacted_means
from experiments.stats.results import Reason
from experiments.stats.rows import interacted_hc2


def _sample(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, arm and two covariates, with an effect that grows with the first covariate."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) + np.array([1.0, 0.0])
    arm = (rng.random(n) < share).astype(int)
    y = 5 + x @ np.array([1.0, -0.5]) + arm * (0.4 + 0.6 * (x[:, 0] - 1)) + rng.normal(0, 1 + 0.3 * arm, n)
    return y, arm, x


def _cells(y: np.ndarray, arm: np.ndarray, x: np.ndarray) -> Aggregates:
    return aggregate({"y": y, "a": x[:, 0], "b": x[:, 1]}, groups=arm, shift=[5.0, 1.0, 0.0])


def test_compare_interacted__fixed_covariates__near_row_level_hc2() -> None:
    y, arm, x = _sample(4000, 0.3, 1)
    cells = _cells(y, arm, x)
    rows = interacted_hc2(y, arm, x)
    found = compare_interacted(cells[0], cells[1], covariates=["a", "b"], sampled_covariates=False).adjusted
    assert float(found.effect) == pytest.approx(float(rows.value), rel=1e-10)
    assert float(found.standard_error) == pytest.approx(float(rows.standard_error), rel=0.01)


def test_interacted_hc2__rows__equal_to_statsmodels() -> None:
    import statsmodels.api as sm

    y, arm, x = _sample(300, 0.5, 2)
    centred = x - x.mean(axis=0)
    design = np.column_stack([np.ones(300), arm, centred, arm[:, None] * centred])
    fit = sm.OLS(y, design).fit(cov_type="HC2")
    found = interacted_hc2(y, arm, x)
    assert float(found.value) == pytest.approx(float(fit.params[1]), rel=1e-10)
    assert float(found.standard_error) == pytest.approx(float(fit.bse[1]), rel=1e-10)


def test_interacted_hc2__row_that_determines_its_fit__no_division_by_zero() -> None:
    y, arm = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 0, 1, 1])
    assert np.isfinite(float(interacted_hc2(y, arm, np.array([[1.0], [2.0], [1.0], [2.0]])).variance))


def test_compare_ancova__rows__equal_to_ols() -> None:
    import statsmodels.api as sm

    y, arm, x = _sample(250, 0.4, 3)
    cells = _cells(y, arm, x)
    fit = sm.OLS(y, np.column_stack([np.ones(250), arm, x])).fit()
    found = compare_ancova(cells[0], cells[1], covariates=["a", "b"])
    result = found.adjusted.at()
    assert result.effect == pytest.approx(float(fit.params[1]), rel=1e-10)
    assert result.standard_error == pytest.approx(float(fit.bse[1]), rel=1e-10)
    assert result.p_value == pytest.approx(float(fit.pvalues[1]), rel=1e-9)
    assert result.df == fit.df_resid
    assert found.theta == pytest.approx(fit.params[2:], rel=1e-10)
    prediction = fit.get_prediction([1.0, 1.0, *x.mean(axis=0)])
    assert result.treatment == pytest.approx(float(prediction.predicted_mean[0]), rel=1e-10)


def test_compare_ancova__adjusted_means__errors_and_covariance_of_the_predictions() -> None:
    import statsmodels.api as sm

    y, arm, x = _sample(250, 0.4, 3)
    cells = _cells(y, arm, x)
    fit = sm.OLS(y, np.column_stack([np.ones(250), arm, x])).fit()
    points = np.array([[1.0, 0.0, *x.mean(axis=0)], [1.0, 1.0, *x.mean(axis=0)]])
    cov = points @ fit.cov_params() @ points.T
    c, t = fit.predict(points)
    expected = math.sqrt(cov[0, 0] / c**2 + cov[1, 1] / t**2 - 2 * cov[0, 1] / (c * t))
    found = compare_ancova(cells[0], cells[1], covariates=["a", "b"]).adjusted
    assert float(found.log_ratio_standard_error) == pytest.approx(expected, rel=1e-9)
    noisy = compare_ancova(cells[0], cells[1], covariates=["a", "b"], sampled_covariates=True).adjusted
    assert float(noisy.standard_error) == pytest.approx(float(found.standard_error), rel=1e-12)
    assert float(noisy.log_ratio_standard_error) < float(found.log_ratio_standard_error) * 1.5


def test_compare_interacted__simulation__covers_where_covariates_are_sampled() -> None:
    simulations, n = 2000, 120
    y, arm, x = _sample(simulations * n, 0.4, 10)
    groups = 2 * np.repeat(np.arange(simulations), n) + arm
    data = {"y": y, "a": x[:, 0], "b": x[:, 1]}
    cells = aggregate(data, groups=groups, n_groups=2 * simulations, shift=[5.0, 1.0, 0.0]).reshape((simulations, 2))
    sampled, fixed = (
        compare_interacted(cells[:, 0], cells[:, 1], covariates=["a", "b"], sampled_covariates=taken).adjusted
        for taken in (True, False)
    )
    error = 3 * math.sqrt(0.05 * 0.95 / simulations)
    assert abs(sampled.effect_ci.contains(0.4).mean() - 0.95) < error
    # an error that takes the covariates as fixed is too small where the effect depends on them
    assert fixed.effect_ci.contains(0.4).mean() < sampled.effect_ci.contains(0.4).mean()


def test_interacted_means__broadcast__slopes_per_arm() -> None:
    y, arm, x = _sample(900, 0.5, 4)
    cells = _cells(y, arm, x)
    many = interacted_means(cells[np.array([0, 0])], cells[np.array([1, 1])], covariates=["a", "b"])
    assert many.slopes.shape == (2, 2, 2)
    assert many.slopes[0].tolist() == many.slopes[1].tolist()
    assert many.slopes[0, 1, 0] > many.slopes[0, 0, 0] + 0.3


def test_regressions__too_few_units__reason() -> None:
    cells = aggregate({"y": [1.0, 2.0, 3.0, 5.0], "x": [1.0, 3.0, 2.0, 2.5]}, groups=[0, 0, 1, 1])
    assert compare_interacted(cells[0], cells[1]).adjusted.at().reason == Reason.TOO_FEW_UNITS
    three = aggregate({"y": [1.0, 2.0, 3.0], "x": [1.0, 3.0, 2.0]}, groups=[0, 0, 1])
    assert compare_ancova(three[0], three[1]).adjusted.at().reason == Reason.TOO_FEW_UNITS
    with pytest.raises(ValueError, match="covariates must name"):
        compare_interacted(cells[0], cells[1], covariates=[])


def test_compare_interacted__perfect_fit__variance_saved_entirely() -> None:
    x = np.arange(8.0)
    cells = aggregate({"y": 2 * x + np.repeat([0, 1], 4), "x": x}, groups=np.repeat([0, 1], 4))
    result = compare_interacted(cells[0], cells[1], sampled_covariates=False)
    assert float(result.adjusted.effect) == pytest.approx(1.0)
    assert float(result.variance_saved) == pytest.approx(1.0)
    constant = aggregate({"y": [1.0] * 8, "x": x}, groups=np.repeat([0, 1], 4))
    assert np.isnan(compare_interacted(constant[0], constant[1]).variance_saved)
