"""What a decision says: codes with parameters, and their English sentences.

The caller translates by code; a library user takes `sentence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FindingCode(StrEnum):
    """One code per sentence; `SENTENCES` has the English."""

    HEALTH_BLOCKS = "health_blocks"
    NO_PRIMARY = "no_primary"
    BEFORE_PLANNED_SIZE = "before_planned_size"
    BEFORE_MINIMUM_DAYS = "before_minimum_days"
    PLANNED_SIZE_REACHED = "planned_size_reached"
    METRIC_GOOD = "metric_good"
    METRIC_BAD = "metric_bad"
    METRIC_FUTILE = "metric_futile"
    METRIC_UNCLEAR = "metric_unclear"
    METRIC_UNDEFINED = "metric_undefined"
    METRIC_DRIFTING = "metric_drifting"
    LOOK_REFUSED = "look_refused"
    GUARDRAIL_SAFE = "guardrail_safe"
    GUARDRAIL_HARMED = "guardrail_harmed"
    GUARDRAIL_UNPROVEN = "guardrail_unproven"
    GUARDRAIL_WITHOUT_MARGIN = "guardrail_without_margin"
    NO_RULE_MATCHED = "no_rule_matched"


SENTENCES: Mapping[FindingCode, str] = {
    FindingCode.HEALTH_BLOCKS: "The data cannot be trusted: {problem}.",
    FindingCode.NO_PRIMARY: "No primary metric was declared.",
    FindingCode.BEFORE_PLANNED_SIZE: "{units} of {planned} planned units are in; the plan decides at the end.",
    FindingCode.BEFORE_MINIMUM_DAYS: "{days} of at least {needed} days have passed; a week has its own rhythm.",
    FindingCode.PLANNED_SIZE_REACHED: "The planned size of {planned} units is reached.",
    FindingCode.METRIC_GOOD: "{metric} is better: {lower} to {upper}.",
    FindingCode.METRIC_BAD: "{metric} is worse: {lower} to {upper}.",
    FindingCode.METRIC_FUTILE: "{metric} rules out an effect as large as planned: {lower} to {upper}.",
    FindingCode.METRIC_UNCLEAR: "{metric} is not clear yet: {lower} to {upper}.",
    FindingCode.METRIC_UNDEFINED: "{metric} has no result: {reason}.",
    FindingCode.METRIC_DRIFTING: "The effect on {metric} is drifting: looks contradict each other.",
    FindingCode.LOOK_REFUSED: "{metric} has not enough data: {have} of {needed}.",
    FindingCode.GUARDRAIL_SAFE: "{metric} is safe: harm beyond {margin} is ruled out.",
    FindingCode.GUARDRAIL_HARMED: "{metric} is harmed: {lower} to {upper}.",
    FindingCode.GUARDRAIL_UNPROVEN: "{metric} is not shown to be safe: {lower} to {upper}, margin {margin}.",
    FindingCode.GUARDRAIL_WITHOUT_MARGIN: "{metric} shows no harm, but has no margin: that is not proof of safety.",
    FindingCode.NO_RULE_MATCHED: "No rule of the rulebook applies: a person has to judge.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence as a code and its parameters, sorted by name."""

    code: FindingCode
    parameters: tuple[tuple[str, str | int | float], ...] = ()


def tell(code: FindingCode, **parameters: str | float) -> Finding:
    """A finding with its parameters sorted by name, so that equal findings are equal.

    >>> tell(FindingCode.NO_PRIMARY)
    Finding(code=<FindingCode.NO_PRIMARY: 'no_primary'>, parameters=())
    """
    return Finding(code, tuple(sorted(parameters.items())))


def sentence(finding: Finding) -> str:
    """The finding in English; numbers as they are.

    >>> sentence(Finding(FindingCode.LOOK_REFUSED, (("have", 12), ("metric", "conversion"), ("needed", 25))))
    'conversion has not enough data: 12 of 25.'
    """
    return SENTENCES[finding.code].format(**dict(finding.parameters))
