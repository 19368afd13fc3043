"""Seeding runs beside the server on a small machine: it loads nothing that only some commands need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEED = """
import sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("prepare", verbosity=0)
call_command("seed_demo", profiles=60, verbosity=0)
print("heavy:", [name for name in ("pandas", "statsmodels", "duckdb", "scipy.stats") if name in sys.modules])
"""


@pytest.mark.slow
def test_seed__whole_world_with_its_results__loads_no_heavy_library(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"HOLDOUT_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SEED], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip().splitlines()[-1] == "heavy: []"
