"""The recommender's tables."""

from __future__ import annotations

from recommender.models.catalogue import EventWeight, Item
from recommender.models.changelog import ChangeLog
from recommender.models.slate import PreparedSlate, Slate
from recommender.models.strategy import Strategy, StrategyHold, StrategyVersion
from recommender.models.training import ModelVersion

__all__ = [
    "ChangeLog",
    "EventWeight",
    "Item",
    "ModelVersion",
    "PreparedSlate",
    "Slate",
    "Strategy",
    "StrategyHold",
    "StrategyVersion",
]
