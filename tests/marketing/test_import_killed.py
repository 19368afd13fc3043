"""An import whose process is killed at any moment goes on, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

ROWS = 60_000
ROOT = Path(__file__).resolve().parents[2]
KILLS = 3

# What must be the same whatever happened on the way. Keys are left out: they depend on what was rolled back.
SUMMARY = """
import json
from django.db.models import Count, Sum
from marketing.models import Activity, Event, Identity, ImportRun, Profile
run = ImportRun.objects.get()
print(json.dumps({
    "events": Event.objects.count(),
    "messages": Event.objects.values("message_id").distinct().count(),
    "value": Event.objects.aggregate(total=Sum("value"))["total"],
    "activity": list(Activity.objects.aggregate(n=Sum("n"), total=Sum("total")).values()),
    "orders": sorted(Profile.objects.values_list("orders_n", "revenue", "first_seen_at", "last_seen_at")),
    "identities": Identity.objects.count(),
    "run": [run.next_row, run.accepted, run.duplicates, run.rejected, run.finished_at is not None],
}))
"""


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of processes with a database of their own, on the engine that the suite runs on."""
    environment = {**os.environ, "HOLDOUT_DATA_DIR": str(tmp_path / "var"), "DJANGO_SETTINGS_MODULE": "config.settings"}
    environment.pop("DATABASE_URL", None)
    if connection.vendor != "postgresql":
        yield environment
        return
    given: dict[str, Any] = settings.DATABASES["default"]
    name = f"holdout_kill_{uuid.uuid4().hex[:12]}"
    where = {"host": given["HOST"], "port": given["PORT"] or 5432, "user": given["USER"], "password": given["PASSWORD"]}
    with psycopg.connect(**where, dbname="postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        secret = f":{given['PASSWORD']}" if given["PASSWORD"] else ""
        address = f"{given['USER']}{secret}@{given['HOST']}:{where['port']}"
        yield {**environment, "DATABASE_URL": f"postgres://{address}/{name}"}
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def rows_imported(environment: dict[str, str]) -> int:
    """How far the import has come, asked of the database directly: a process of its own would take a second."""
    asked = "SELECT COALESCE(sum(next_row), 0) FROM marketing_importrun"
    if "DATABASE_URL" in environment:
        with psycopg.connect(environment["DATABASE_URL"]) as server:
            row = server.execute(asked).fetchone()
    else:
        with contextlib.closing(sqlite3.connect(f"{environment['HOLDOUT_DATA_DIR']}/holdout.sqlite3")) as file:
            row = file.execute(asked).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.slow
@pytest.mark.worker
def test_import_events__killed_in_the_middle__goes_on_and_ends_the_same(
    own_database: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "events.csv"
    with file.open("w") as out:
        out.write("user_id,anonymous_id,event,timestamp,revenue,order_id\n")
        for number in range(ROWS):
            value = "x" if number % 1_000 == 999 else number % 50
            when = f"2026-10-{1 + number % 28:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
            out.write(f"u{number % 331},v{number % 997},Order Completed,{when},{value},o{number}\n")
    manage(own_database, "migrate", "--verbosity", "0")
    command = [sys.executable, "manage.py", "import_events", str(file)]
    reached = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, cwd=ROOT, env=own_database, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while rows_imported(own_database) == reached and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        reached = rows_imported(own_database)
    assert 0 < reached < ROWS  # it had begun, and it had not ended
    manage(own_database, "import_events", str(file))
    found = json.loads(manage(own_database, "shell", "--no-imports", "-c", SUMMARY).strip().splitlines()[-1])

    rejected = ROWS // 1_000
    assert found["run"] == [ROWS, ROWS - rejected, 0, rejected, True]
    assert found["events"] == found["messages"] == found["activity"][0] == ROWS - rejected
    expected = sum(number % 50 for number in range(ROWS) if number % 1_000 != 999) * 1_000_000
    assert found["value"] == found["activity"][1] == expected
    assert sum(row[0] for row in found["orders"]) == ROWS - rejected
    lines = (tmp_path / "events.csv.rejected.csv").read_text()
    assert [line.split(",")[0] for line in lines.splitlines()[1:]] == [str(n * 1_000) for n in range(1, rejected + 1)]
