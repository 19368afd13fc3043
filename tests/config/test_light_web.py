"""The web process stays small: what only tasks and commands need is not loaded by it."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = [
    "pandas",
    "statsmodels",
    "ibis",
    "sqlglot",
    "duckdb",
    "pyarrow",
    "sklearn",
    "implicit",
    "scipy.stats",
    "polars",
    "requests",
]
ENVIRONMENT = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"}
LOAD = f"""
import sys
import config.wsgi, config.urls
from django.urls import get_resolver
get_resolver().url_patterns
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_web_process__loaded_with_every_view__has_no_heavy_library() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.strip() == "[]"


def test_import_without__library_that_is_asked_for_later__is_found() -> None:
    code = (
        "from config.lean import import_without\n"
        "import_without('rest_framework.compat', absent=('requests',))\n"
        "from rest_framework import compat\n"
        "assert compat.requests is None\n"
        "import requests\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=ENVIRONMENT)
