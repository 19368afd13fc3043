"""Settings, URLs, Celery and the process group: where the three apps are put together."""

from __future__ import annotations

from config.celery import app as celery_app

__all__ = ["celery_app"]
