"""The analysis part of the pre-registered plan: how results are computed and when they decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.services.looks import DecidingScale
from experiments.services.verdict import RULEBOOKS, Rules


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What the pre-registered plan says about the analysis, with its defaults."""

    scale: DecidingScale = "relative"
    is_single_look: bool = False
    covariates: bool = True
    rules: Rules = "clear_signals"


def decode_plan(plan: Mapping[str, Any]) -> AnalysisPlan:
    """The analysis part of the pre-registered plan; ValueError for what this version does not know."""
    part = plan.get("analysis", {"schema": 1})
    if part.get("schema") != 1:
        message = f"no decoder for analysis plan schema {part.get('schema')!r}"
        raise ValueError(message)
    rules = part.get("rules", "clear_signals")
    if rules not in RULEBOOKS:
        message = f"no rulebook {rules!r}, there are {', '.join(RULEBOOKS)}"
        raise ValueError(message)
    return AnalysisPlan(
        scale="absolute" if part.get("scale") == "absolute" else "relative",
        is_single_look=part.get("looks") == "single",
        covariates=bool(part.get("covariates", True)),
        rules=rules,
    )
