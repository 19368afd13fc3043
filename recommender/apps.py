"""The recommender as a Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RecommenderConfig(AppConfig):
    """Catalogue, strategies, models and slates."""

    name = "recommender"
    verbose_name = _("Recommender")
