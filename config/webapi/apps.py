from __future__ import annotations

from django.apps import AppConfig

from config.webapi.converters import register


class WebApiConfig(AppConfig):
    """What the management API of every app is made of; it knows none of them."""

    name = "config.webapi"
    label = "webapi"
    verbose_name = "Management API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Before any URL map is read."""
        register()
