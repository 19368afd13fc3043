"""The owner of the events, as the settings name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from recommender.ports import Interactions


def interactions_port() -> Interactions:
    """The class named in the settings."""
    port: Interactions = import_string(settings.RECOMMENDER_INTERACTIONS)()
    return port
