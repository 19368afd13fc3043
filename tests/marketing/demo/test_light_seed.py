"""Seeding runs beside the server on a small machine: it loads nothing that only some commands need."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
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


def run(folder: Path, *arguments: str) -> str:
    """Run Python with these arguments on a database in the folder; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"HOLDOUT_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_seed__whole_world_with_its_results__loads_no_heavy_library(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", SEED).splitlines()[-1] == "heavy: []"


@pytest.mark.slow
def test_seed__in_parts__goes_on_in_a_new_process_and_is_whole(tmp_path: Path) -> None:
    run(tmp_path, "manage.py", "migrate", "-v", "0")
    run(tmp_path, "manage.py", "prepare", "-v", "0")
    said = run(tmp_path, "manage.py", "seed_demo", "--in-parts", "--profiles", "60")
    assert said.splitlines() == ["The demo world is ready."]
    with closing(sqlite3.connect(next(tmp_path.glob("*.sqlite3")))) as database:
        assert database.execute("SELECT state, done = total FROM marketing_job").fetchall() == [("done", 1)]
        assert database.execute("SELECT COUNT(*) FROM experiments_snapshot").fetchone() > (0,)
        finished = "SELECT COUNT(*) FROM marketing_campaign WHERE status = 'finished'"
        assert database.execute(finished).fetchone() > (0,)
