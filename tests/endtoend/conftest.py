"""Installations of their own, with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.endtoend.stack import Stack, postgres_database


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """An installation on the kind of database that the suite runs on, not started yet."""
    url, drop = "", None
    if settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        url, drop = postgres_database()
    made = Stack(folder=tmp_path, database_url=url)
    yield made
    made.stop()
    if drop is not None:
        drop()
