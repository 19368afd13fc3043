"""Traits that give a protected one away: who filters by them may sort people by what must not count.

For each value of the protected trait: how well the other trait tells its people from the rest, as the area under the
ROC curve on people whose both values are known. A text is scored by how often its value goes with the protected one
among half of the sample, and judged on the other half, so that rare values do not predict themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.services.shares import auc
from marketing.choices import Sensitivity, TraitType
from marketing.models import ProfileTrait, TraitDefinition
from marketing.segmentation.rules import Trait, parse, walk

SAMPLED: Final = 4_000
MOST_VALUES: Final = 8
FEWEST: Final = 50
"""People on either side: below it an area says nothing, and people could be told apart."""
WARNS_FROM: Final = 0.75
"""Three of four pairs told apart; 0.5 is chance. Acceptable discrimination begins at 0.7 (Hosmer, Lemeshow 2000)."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A trait that predicts a value of a protected one."""

    trait: str
    protected: str
    value: str
    area: float


def find_proxies(*, rule: Any) -> list[Proxy]:
    """Return which traits of a rule predict a protected trait, the strongest first."""
    keys = {node.key for node in walk(parse(rule)) if isinstance(node, Trait)}
    used = TraitDefinition.objects.filter(key__in=keys).exclude(sensitivity=Sensitivity.PROTECTED).order_by("key")
    guarded = list(TraitDefinition.objects.filter(sensitivity=Sensitivity.PROTECTED).order_by("key"))
    found = [proxy for trait in used for target in guarded for proxy in _between(trait, target)]
    return sorted(found, key=lambda proxy: -proxy.area)


def _between(trait: TraitDefinition, target: TraitDefinition) -> Iterable[Proxy]:
    pairs = _pairs(trait, target)
    counts = Counter(value for _given, value in pairs)
    for value, n in counts.most_common(MOST_VALUES):
        if n < FEWEST or len(pairs) - n < FEWEST:
            continue
        scores = _scores(trait, [(given, one == value) for given, one in pairs])
        yes = [score for score, is_in in scores if is_in]
        no = [score for score, is_in in scores if not is_in]
        if not yes or not no:
            continue
        area = auc(positives=yes, negatives=no)
        # A trait that is low for the group tells it apart as well.
        area = max(area, 1 - area)
        if area >= WARNS_FROM:
            yield Proxy(trait=trait.name, protected=target.name, value=_shown(target, value), area=area)


def _pairs(trait: TraitDefinition, target: TraitDefinition) -> list[tuple[Any, Any]]:
    """(value, protected value) of people with both, always the same people."""
    name = "text" if trait.type == TraitType.TEXT else "number"
    mine = ProfileTrait.objects.filter(definition=trait, profile__merged_into=None, **{f"{name}__isnull": False})
    mine = mine.filter(profile__traits__definition=target).order_by("profile__sample_bucket", "profile_id")
    rows = dict(mine.values_list("profile_id", name)[:SAMPLED])
    theirs = ProfileTrait.objects.filter(definition=target, profile__in=list(rows))
    column = "text" if target.type == TraitType.TEXT else "number"
    return [(rows[pk], value) for pk, value in theirs.order_by("profile_id").values_list("profile_id", column)]


def _scores(trait: TraitDefinition, pairs: Sequence[tuple[Any, bool]]) -> list[tuple[float, bool]]:
    if trait.type != TraitType.TEXT:
        return [(float(given), is_in) for given, is_in in pairs]
    learned, judged = pairs[::2], pairs[1::2]
    seen, hits = Counter(given for given, _is_in in learned), Counter(given for given, is_in in learned if is_in)
    base = sum(hits.values()) / max(len(learned), 1)
    return [(hits[given] / seen[given] if seen[given] else base, is_in) for given, is_in in judged]


def _shown(target: TraitDefinition, value: Any) -> str:
    return f"{value:g}" if target.type != TraitType.TEXT else str(value)
