"""Whether the installation is fit to run: settings that are safe in production, tables that stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

SHORTEST_SECRET = 50  # characters, as in Django's own check


@register()
def production_is_safe(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Return an error for each setting that must not be as it is in production."""
    if not settings.PRODUCTION:
        return []
    problems = [
        (settings.DEBUG, "HOLDOUT_DEBUG is on.", "Unset it: error pages would show settings and data.", "E001"),
        (
            settings.SECRET_KEY_WAS_GENERATED,
            "HOLDOUT_SECRET_KEY is not set.",
            "Set it: a generated key is lost with the machine.",
            "E002",
        ),
        (
            len(settings.SECRET_KEY) < SHORTEST_SECRET,
            f"HOLDOUT_SECRET_KEY is shorter than {SHORTEST_SECRET} characters.",
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'",
            "E003",
        ),
        (
            not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS,
            "HOLDOUT_ALLOWED_HOSTS does not name the hosts.",
            "Set it to the host names under which people reach Holdout.",
            "E004",
        ),
        (settings.DEMO, "HOLDOUT_DEMO is on.", "Unset it: the demo world does not belong in production.", "E005"),
    ]
    return [Error(text, hint=hint, id=f"holdout.{number}") for wrong, text, hint, number in problems if wrong]


def refuse_unsafe_settings() -> None:
    """Raise `ImproperlyConfigured` where production settings are unsafe: a server must not start with them."""
    errors = production_is_safe(None)
    if errors:
        raise ImproperlyConfigured("\n".join(f"{error.msg} {error.hint}" for error in errors))


def has_missing_migrations() -> bool:
    """Tell whether tables are missing or of an older version; False where the database cannot be asked."""
    try:
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError:
        return False
