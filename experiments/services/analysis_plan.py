"""The analysis part of the pre-registered plan: how results are computed and when they decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from experiments.facts.dimensions import Dimension, decode_dimension

DecidingScale = Literal["relative", "absolute"]
Rules = Literal["clear_signals", "do_no_harm"]
# Sceptical: nineteen of twenty lifts lie within ±60 % (the prior of the field's open engines).
PRIOR_SD: Final = 0.3
# Whoever bought before the first exposure knows the shop; everybody else is new to it.
DEFAULT_DIMENSIONS: Final = (Dimension(name="customer", event_types=("Order Completed",)),)


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What the pre-registered plan says about the analysis, with its defaults."""

    scale: DecidingScale = "relative"
    is_single_look: bool = False
    covariates: bool = True
    rules: Rules = "clear_signals"
    prior_sd: float = PRIOR_SD
    dimensions: tuple[Dimension, ...] = DEFAULT_DIMENSIONS

    def as_json(self) -> dict[str, Any]:
        """The part as it is registered at the start, defaults included: later defaults change nothing."""
        return {
            "schema": 1,
            "scale": self.scale,
            "looks": "single" if self.is_single_look else "daily",
            "covariates": self.covariates,
            "rules": self.rules,
            "prior_sd": self.prior_sd,
            "dimensions": [one.as_json() for one in self.dimensions],
        }


def decode_plan(plan: Mapping[str, Any]) -> AnalysisPlan:
    """The analysis part of the pre-registered plan; ValueError for what this version does not know."""
    part = plan.get("analysis", {"schema": 1})
    if part.get("schema") != 1:
        message = f"no decoder for analysis plan schema {part.get('schema')!r}"
        raise ValueError(message)
    rules = part.get("rules", "clear_signals")
    if rules not in get_args(Rules):
        message = f"no rulebook {rules!r}, there are {', '.join(get_args(Rules))}"
        raise ValueError(message)
    return AnalysisPlan(
        scale="absolute" if part.get("scale") == "absolute" else "relative",
        is_single_look=part.get("looks") == "single",
        covariates=bool(part.get("covariates", True)),
        rules=rules,
        prior_sd=float(part.get("prior_sd", PRIOR_SD)),
        dimensions=DEFAULT_DIMENSIONS
        if "dimensions" not in part
        else tuple(decode_dimension(one) for one in part["dimensions"]),
    )
