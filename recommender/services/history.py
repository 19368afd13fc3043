"""The versions of a strategy, each with what it changed."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.models import Strategy, StrategyVersion
from recommender.services.strategies import design_of
from recommender.services.words import Difference, Sentence, describe, differences

SHOWN = 20


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in words; `changes` is against the one before, empty for the first."""

    version: StrategyVersion
    sentences: tuple[Sentence, ...]
    changes: tuple[Difference, ...]


def version_history(*, strategy: Strategy) -> list[VersionRow]:
    """The latest versions, newest first. One query."""
    versions = list(strategy.versions.order_by("-number")[: SHOWN + 1])
    designs = [design_of(version) for version in versions]
    before = [*designs[1:], None]
    rows = [
        VersionRow(version, tuple(describe(design)), tuple(differences(earlier, design)) if earlier else ())
        for version, design, earlier in zip(versions, designs, before, strict=True)
    ]
    return rows[:SHOWN]
