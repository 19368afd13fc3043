"""States and codes as data."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ModelStatus(models.TextChoices):
    """training → ready | failed; ready → published | rejected; published → retired; retired → published (roll back)."""

    TRAINING = "training", _("Training")
    READY = "ready", _("Ready")
    PUBLISHED = "published", _("Published")
    RETIRED = "retired", _("Retired")
    REJECTED = "rejected", _("Not published")
    FAILED = "failed", _("Failed")


PUBLISHABLE = (ModelStatus.READY, ModelStatus.RETIRED, ModelStatus.REJECTED)
"""States from which a person or the training may publish a model."""


class FallbackReason(models.TextChoices):
    """Why the strategy's own model did not fill the whole slate."""

    NO_HISTORY = "no_history", _("Nothing is known about this person yet")
    NO_MODEL = "no_model", _("No model is published yet")
    UNREADABLE_MODEL = "unreadable_model", _("The model's file is missing or damaged")
    ALGORITHM_FAILED = "algorithm_failed", _("The algorithm failed")
    OUT_OF_TIME = "out_of_time", _("The time budget was used up")
    HISTORY_UNAVAILABLE = "history_unavailable", _("The person's history could not be read in time")
    TOO_FEW_ITEMS = "too_few_items", _("The model had too few items that pass the filters")
    SWITCHED_OFF = "switched_off", _("The strategy is switched off")


FAILURES = (
    FallbackReason.UNREADABLE_MODEL,
    FallbackReason.ALGORITHM_FAILED,
    FallbackReason.OUT_OF_TIME,
    FallbackReason.HISTORY_UNAVAILABLE,
)
"""Something is broken or late; the other reasons are how a strategy is meant to work."""


class ShortReason(models.TextChoices):
    """Why a slate has fewer items than were asked for."""

    CATALOGUE_TOO_SMALL = "catalogue_too_small", _("Too few items pass the filters")
    ITEMS_WITHDRAWN = "items_withdrawn", _("Items were withdrawn after the slate was made")
    CATALOGUE_UNAVAILABLE = "catalogue_unavailable", _("The catalogue could not be read")


CATALOGUE_FALLBACK = "catalogue"
"""Last link of every chain: the catalogue's items by stored popularity; needs no model file."""
