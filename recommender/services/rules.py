"""How scores become a slate: `StrategyVersion.rules` (schema 1). Business rules, variety, exploration.

Items are meant by marks: `category=Kitchen`, `brand=Acme`, `tag=gift`, `item=sku-7`. Scores are first brought to
[0, 1] over what may be shown, so that a percentage means the same for every algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recommender.errors import InvalidStrategy
from recommender.services.decoding import decode, encode

MARKS = ("category", "brand", "tag", "item")
EPSILON, SOFTMAX = "epsilon", "softmax"
EXPLORATIONS = ("", EPSILON, SOFTMAX)
PERCENTS = ("bury_percent", "promoted_percent", "diversity_percent", "explore_percent")
MOST_EXPLORED = 500
"""Candidates of one draw: more would make each of them too rare to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The defaults change nothing: the best scores, best first."""

    pinned: tuple[str, ...] = ()
    """Item ids that stand first, in this order, where the filters allow them."""
    boosted: tuple[str, ...] = ()
    boost_percent: int = 50
    """Boosted items' scores are raised by so much."""
    buried: tuple[str, ...] = ()
    bury_percent: int = 50
    """Buried items' scores are lowered by so much."""
    promoted: tuple[str, ...] = ()
    promoted_percent: int = 0
    """Share of the places that promoted items get, as far as there are any."""
    damping_percent: int = 0
    """Scores are divided by (1 + popularity) to this power in hundredths: 30 shows more of the range."""
    diversity_percent: int = 0
    """Weight of being unlike what stands before (MMR; Carbonell & Goldstein 1998); 0: none."""
    explore: str = ""
    """`epsilon`: a place is drawn with a chance; `softmax`: every place is drawn, better ones more often."""
    explore_percent: int = 10
    """ε in per cent, or for `softmax` the temperature in hundredths of the score range."""
    explore_pool: int = 50
    """How many of the best candidates take part in a draw."""
    new_items: int = 0
    """So many items without a score (newest first) take part too."""
    new_item_weight: int = 1
    """How many times likelier one of them is drawn than another candidate."""

    @property
    def is_plain(self) -> bool:
        """Whether the best scores are the slate."""
        return not (
            self.boosted
            or self.buried
            or self.damping_percent
            or self.diversity_percent
            or self.explore
            or (self.promoted and self.promoted_percent)
        )


def encode_rules(rules: Rules) -> dict[str, Any]:
    """The JSON form."""
    return encode(rules)


def decode_rules(stored: Mapping[str, Any]) -> Rules:
    """The rules of a stored version; refuses unknown schemas, names, kinds and what cannot be."""
    rules = decode(Rules, stored, label="rule")
    check_rules(rules)
    return rules


def check_rules(rules: Rules) -> None:
    """Raises `InvalidStrategy` naming the rule, the value and what is possible."""
    for name in PERCENTS:
        if getattr(rules, name) > 100:
            raise InvalidStrategy(f"rule {name!r} must lie between 0 and 100, got {getattr(rules, name)}")
    for name in ("boosted", "buried", "promoted"):
        for mark in getattr(rules, name):
            kind, _, value = mark.partition("=")
            if kind not in MARKS or not value:
                raise InvalidStrategy(
                    f"rule {name!r}: {mark!r} is no mark; write one of {', '.join(MARKS)}, “=” and a value"
                )
    if rules.explore not in EXPLORATIONS:
        raise InvalidStrategy(f"rule 'explore' must be epsilon, softmax or empty, got {rules.explore!r}")
    if rules.explore == SOFTMAX and not rules.explore_percent:
        raise InvalidStrategy("rule 'explore_percent': a temperature of 0 draws nothing; use at least 1")
    if rules.explore and not 2 <= rules.explore_pool <= MOST_EXPLORED:
        raise InvalidStrategy(f"rule 'explore_pool' must lie between 2 and {MOST_EXPLORED}, got {rules.explore_pool}")
    if rules.new_items > MOST_EXPLORED or not 1 <= rules.new_item_weight <= 100:
        raise InvalidStrategy(
            f"rule 'new_items' must lie between 0 and {MOST_EXPLORED}, 'new_item_weight' between 1 and 100"
        )
