from __future__ import annotations

import numpy as np
import pytest

from experiments.stats.floors import FloorKind, check_floor, needed_events
from experiments.stats.results import Alternative
from experiments.stats.sequential import Scale


@pytest.mark.parametrize("share", [0.5, 0.2, 0.1, 0.05, 0.01])
def test_needed_events__proportion__is_25_at_every_share(share: float) -> None:
    assert float(needed_events(FloorKind.PROPORTION, share)) == 25


@pytest.mark.parametrize("scale", Scale)
def test_needed_events__mean__grows_as_the_smaller_arm_shrinks(scale: Scale) -> None:
    needed = needed_events(FloorKind.MEAN, np.array([0.5, 0.2, 0.1, 0.05, 0.01]), scale=scale)
    assert needed[0] == 100
    assert np.all(np.diff(needed) >= 0)
    assert needed[-1] > needed[0]


def test_check_floor__fewer_events_in_the_larger_arm__counts_those() -> None:
    check = check_floor(FloorKind.PROPORTION, 30, 20, 100, 900)
    assert (float(check.events), bool(check.refused)) == (20.0, True)


def test_check_floor__exactly_at_the_floor__is_allowed() -> None:
    assert not bool(check_floor(FloorKind.MEAN, 100, 100, 5_000, 5_000).refused)
    assert bool(check_floor(FloorKind.MEAN, 99, 100, 5_000, 5_000).refused)


def test_check_floor__nobody_or_unknown__is_refused() -> None:
    check = check_floor(FloorKind.MEAN, [0, np.nan], [0, 500], [0, 5_000], [0, 5_000])
    assert check.refused.tolist() == [True, True]


@pytest.mark.parametrize("scale", Scale)
def test_needed_events__one_sided__asks_for_more(scale: Scale) -> None:
    shares = np.array([0.5, 0.2, 0.1, 0.05])
    one = needed_events(FloorKind.MEAN, shares, scale=scale, alternative=Alternative.GREATER)
    assert np.all(one > needed_events(FloorKind.MEAN, shares, scale=scale))


def test_check_floor__group_sequential__is_stricter_in_unequal_arms() -> None:
    equal = check_floor(FloorKind.PROPORTION, 30, 30, 500, 500, is_group_sequential=True)
    unequal = check_floor(FloorKind.PROPORTION, 199, 900, 500, 4_500, is_group_sequential=True)
    assert (bool(equal.refused), bool(unequal.refused), float(unequal.needed)) == (False, True, 200.0)
    mean = check_floor(FloorKind.MEAN, 10**6, 10**7, 10**7, 10**8, is_group_sequential=True)
    assert bool(mean.refused)
    assert not bool(check_floor(FloorKind.MEAN, 100, 100, 500, 500, is_group_sequential=True).refused)


def test_check_floor__nearly_everybody_converts__counts_the_others() -> None:
    check = check_floor(FloorKind.PROPORTION, 990, 940, 1_000, 1_000)
    assert (float(check.events), bool(check.refused)) == (10.0, True)
    assert not bool(check_floor(FloorKind.MEAN, 990, 1_000, 1_000, 1_000).refused)
