"""Errors the recommender raises; interfaces translate them once, at their border."""

from __future__ import annotations


class RecommenderError(Exception):
    """Base of every error of this app."""


class UnknownAlgorithm(RecommenderError):
    """No algorithm is registered under this key."""


class UnknownStrategy(RecommenderError):
    """No strategy has this slug."""


class InvalidStrategy(RecommenderError):
    """The strategy's algorithm, parameters, filters or fallbacks do not hold together."""


class InvalidItem(RecommenderError):
    """A catalogue row cannot be stored; the message names row and field."""


class InvalidRatings(RecommenderError):
    """A ratings file cannot be read; the message names line and column."""


class CannotTrain(RecommenderError):
    """Training could not produce a model; the message says why."""


class NotEnoughData(CannotTrain):
    """There is nothing to learn from yet."""


class TrainingInProgress(CannotTrain):
    """Another process holds the strategy's training lease."""


class NotTrained(RecommenderError):
    """There is no model to ask."""


class CannotPublish(RecommenderError):
    """This model version cannot become the published one."""


class UnreadableModel(RecommenderError):
    """The model's file is missing, was changed, or has an unknown schema."""
