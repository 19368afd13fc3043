"""How many units an experiment needs, and for how long: asked live by forms in the web process.

Only the standard library is used here (scipy would cost the web process 24 MB); the tests hold the
answers against `experiments.stats`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

DAYS_IN_A_WEEK = 7


@dataclass(frozen=True, slots=True)
class SampleSizePlan:
    """The answer of `plan`; where no answer exists, the numbers are `None` and `reason` says why.

    `total` counts units over all arms and is enough for the always-valid interval, read on any
    day; `total_single_look` would be enough for one look at the end. `days` is rounded up to whole
    weeks, because a part of a week over-represents some weekdays.
    """

    total: int | None
    per_arm: tuple[int, ...]
    days: int | None
    total_single_look: int | None
    mde_abs: float | None
    reason: str = ""


def plan(
    *,
    baseline: float,
    mde: float,
    alpha: float = 0.05,
    power: float = 0.8,
    weights: Sequence[float] = (0.5, 0.5),
    daily_units: float | None = None,
    standard_deviation: float | None = None,
) -> SampleSizePlan:
    """Units needed to see a relative effect `mde` on `baseline`, control first in `weights`.

    Without `standard_deviation` the metric is a proportion. With several treatments the answer
    serves the worst pair. Source: the normal power formula n = (q + z_power)² · V / effect², with
    q = z_(1-alpha/2) for a single look and the half width of the asymptotic confidence sequence at
    its planned size for looks on every day (Waudby-Smith et al., arXiv 2103.06476v7, eq. 9, 161).
    """
    reason = _why_impossible(
        baseline=baseline, mde=mde, alpha=alpha, power=power, weights=weights, standard_deviation=standard_deviation
    )
    if reason:
        return SampleSizePlan(None, (), None, None, None, reason)
    shares = [weight / sum(weights) for weight in weights]
    effect = abs(baseline * mde)
    if standard_deviation is None:
        raised = baseline * (1 + mde)
        variances = (baseline * (1 - baseline), raised * (1 - raised))
    else:
        variances = (standard_deviation**2, standard_deviation**2)
    spread = max(variances[0] / shares[0] + variances[1] / share for share in shares[1:]) / effect**2
    z_power = NormalDist().inv_cdf(power)
    single = math.ceil((NormalDist().inv_cdf(1 - alpha / 2) + z_power) ** 2 * spread)
    total = math.ceil((_sequence_quantile(alpha) + z_power) ** 2 * spread)
    return SampleSizePlan(
        total=total,
        per_arm=tuple(math.ceil(total * share) for share in shares),
        days=_whole_weeks(total, daily_units),
        total_single_look=single,
        mde_abs=effect,
    )


def _sequence_quantile(alpha: float) -> float:
    """Half width of the confidence sequence at N = N*, in standard errors (3.035 at 5 %)."""
    time = -2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))
    return math.sqrt(2 * (time + 1) / time * (math.log1p(time) / 2 - math.log(alpha)))


def _whole_weeks(total: int, daily_units: float | None) -> int | None:
    if not daily_units or daily_units <= 0:
        return None
    return math.ceil(total / daily_units / DAYS_IN_A_WEEK) * DAYS_IN_A_WEEK


def _why_impossible(
    *,
    baseline: float,
    mde: float,
    alpha: float,
    power: float,
    weights: Sequence[float],
    standard_deviation: float | None,
) -> str:
    """The code of the first thing that leaves no answer, or an empty string."""
    is_share = standard_deviation is None
    checks = {
        "weights": len(weights) < 2 or min(weights, default=0) <= 0,
        "alpha": not 0 < alpha < 1,
        "power": not alpha < power < 1,
        "mde": mde <= -1 or mde == 0,
        "baseline": baseline <= 0 or (is_share and baseline >= 1),
        "mde_above_one": is_share and baseline * (1 + mde) >= 1,
        "standard_deviation": standard_deviation is not None and standard_deviation <= 0,
    }
    return next((code for code, is_wrong in checks.items() if is_wrong), "")
