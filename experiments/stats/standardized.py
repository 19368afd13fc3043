"""Planning by standardized effects: Cohen's d with the non-central t, Cohen's h of two rates.

What textbooks and other calculators use. `experiments.stats.power` plans by the effects themselves.

Source: J. Cohen, "Statistical Power Analysis for the Behavioral Sciences" (2nd ed., 1988).
"""

from __future__ import annotations

import math

from scipy import special

from experiments.stats.power import Design, is_wrong_side, power_of
from experiments.stats.results import Alternative


def arcsine_sample_size(rate_control: float, rate_treatment: float, *, design: Design | None = None) -> float:
    """Units per equal arm by Cohen's h, the arcsine difference of two rates.

    Raises `ValueError` for equal rates, rates outside [0, 1] and a difference on the other side of a
    one-sided alternative.

    Source: Cohen, "Statistical Power Analysis" (2nd ed.), chapter 6.

    >>> round(arcsine_sample_size(0.1, 0.11))
    14744
    """
    from scipy import optimize

    plan = design or Design()
    if not (0 <= rate_control <= 1 and 0 <= rate_treatment <= 1) or rate_control == rate_treatment:
        raise ValueError(f"rates must differ and lie in [0, 1], got {rate_control} and {rate_treatment}")
    _check_side(plan, increase=rate_treatment > rate_control)
    h = 2 * (math.asin(math.sqrt(rate_treatment)) - math.asin(math.sqrt(rate_control)))
    guess = 2 * ((plan.critical + float(special.ndtri(plan.power))) / h) ** 2

    def missing(n: float) -> float:
        return float(power_of(h, math.sqrt(2 / n), design=plan)) - plan.power

    return float(optimize.brentq(missing, guess / 4, guess * 1.01, xtol=1e-9, rtol=1e-14))


def t_power(d: float, n_control: float, n_treatment: float, *, design: Design | None = None) -> float:
    """Power of the pooled t test at a standardized effect `d` (non-central t).

    Source: Cohen, "Statistical Power Analysis", chapter 2.

    >>> round(t_power(0.1, 1_000, 1_000), 6)
    0.608367
    """
    plan = design or Design()
    df = n_control + n_treatment - 2
    shift = d * math.sqrt(n_control * n_treatment / (n_control + n_treatment))
    if plan.alternative is Alternative.TWO_SIDED:
        critical = float(-special.stdtrit(df, plan.level / 2))
        return float(1 - special.nctdtr(df, shift, critical) + special.nctdtr(df, shift, -critical))
    signed = shift if plan.alternative is Alternative.GREATER else -shift
    return float(1 - special.nctdtr(df, signed, -special.stdtrit(df, plan.level)))


def t_sample_size(d: float, *, ratio: float = 1.0, design: Design | None = None) -> float:
    """Units in the control arm (not rounded) for a standardized effect; treatment = ratio × control.

    The bracket starts at the size that the normal law asks for, so uneven arms have an answer too.
    Raises `ValueError` for d = 0, a ratio not positive and an effect on the other side of a one-sided
    alternative.

    >>> round(t_sample_size(0.1), 6)
    1570.733043
    """
    from scipy import optimize

    plan = design or Design()
    if not (abs(d) > 0 and ratio > 0):
        raise ValueError(f"d must not be 0 and ratio must be positive, got {d} and {ratio}")
    _check_side(plan, increase=d > 0)
    normal = (plan.critical + float(special.ndtri(plan.power))) ** 2 * (1 + 1 / ratio) / d**2
    smallest = max(2.0 / min(ratio, 1.0), 0.5 * normal)

    def missing(n: float) -> float:
        return t_power(d, n, n * ratio, design=plan) - plan.power

    if missing(smallest) >= 0:
        return smallest
    return float(optimize.brentq(missing, smallest, 2 * normal + 50 * (1 + 1 / ratio), xtol=1e-9, rtol=1e-14))


def _check_side(plan: Design, *, increase: bool) -> None:
    if is_wrong_side(plan.alternative, increase=increase):
        raise ValueError(f"the effect lies on the other side of the alternative {plan.alternative}")
