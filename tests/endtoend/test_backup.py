"""Backup and restore as `docs/deploy.md` writes them: all that was stored or spooled is there again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from marketing.models import Event
from marketing.spooling.writer import SpoolWriter
from tests.endtoend.stack import postgres_database

EVENTS = "user_id,event,timestamp\n" + "".join(f"p{n},Page Viewed,2026-11-01T10:00:00Z\n" for n in range(20))
FINISHED = "arm,bought\n" + "".join(f"{'AB'[n % 2]},{int(n % 3 == 0)}\n" for n in range(60))
AT = 1_764_000_000_000_000  # microseconds since 1970
COUNT = f"SELECT count(*) FROM {Event._meta.db_table}"


def manage(folder: Path, url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={
            **os.environ,
            "HOLDOUT_DATA_DIR": str(folder),
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "config.settings",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def events_in(folder: Path, url: str) -> int:
    code = f"from django.db import connection as c; k = c.cursor(); k.execute({COUNT!r}); print(k.fetchone()[0])"
    return int(manage(folder, url, "shell", "--no-imports", "-c", code))


def analyze(folder: Path, url: str, file: Path) -> str:
    return manage(
        folder,
        url,
        "analyze_csv",
        str(file),
        "--arm",
        "arm",
        "--control",
        "A",
        "--metric",
        "bought",
        "--format",
        "json",
    )


def used(folder: Path, url: str, files: Path) -> str:
    """Bring in what can be lost: events, a stored result, and a message that only the spool has."""
    folder.mkdir()
    (files / "events.csv").write_text(EVENTS)
    (files / "finished.csv").write_text(FINISHED)
    manage(folder, url, "migrate", "--verbosity", "0")
    manage(folder, url, "import_events", str(files / "events.csv"), "--source", "shop")
    code = "from marketing.models import Source; print(Source.objects.get(name='shop').pk)"
    source = int(manage(folder, url, "shell", "--no-imports", "-c", code))
    writer = SpoolWriter(folder / "spool")
    body = {"type": "track", "event": "Page Viewed", "anonymousId": "a1", "messageId": "only-in-the-spool"}
    writer.write(
        json.dumps({"id": "e", "at": AT, "source": source, "kind": "", "body": {"batch": [body]}}).encode() + b"\n"
    )
    writer.close()
    return analyze(folder, url, files / "finished.csv")


def pack(folder: Path, archive: Path, *parts: str) -> None:
    subprocess.run(["tar", "-czf", str(archive), "-C", str(folder), *parts], check=True)


def unpack(archive: Path, folder: Path) -> None:
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(folder)], check=True)


def test_backup__sqlite__is_whole_in_another_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old_url, new_url = (f"sqlite:///{folder}/holdout.sqlite3" for folder in (old, new))
    result = used(old, old_url, tmp_path)
    pack(old, tmp_path / "spool.tar.gz", "spool")
    manage(old, old_url, "backup_sqlite", str(tmp_path / "copy.sqlite3"))
    pack(old, tmp_path / "data.tar.gz", "models", "parquet", "secret_key")
    secret = (old / "secret_key").read_text()
    shutil.rmtree(old)

    new.mkdir()
    unpack(tmp_path / "spool.tar.gz", new)
    unpack(tmp_path / "data.tar.gz", new)
    shutil.copy(tmp_path / "copy.sqlite3", new / "holdout.sqlite3")
    check_restored(new, new_url, tmp_path, result)
    assert (new / "secret_key").read_text() == secret


@pytest.mark.postgres
def test_backup__postgresql__is_whole_in_another_database(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old_url, drop_old = postgres_database()
    new_url, drop_new = postgres_database()
    try:
        result = used(old, old_url, tmp_path)
        pack(old, tmp_path / "spool.tar.gz", "spool")
        dump = str(tmp_path / "holdout.dump")
        subprocess.run(["pg_dump", "--format=custom", "--file", dump, old_url], check=True)
        pack(old, tmp_path / "data.tar.gz", "models", "parquet", "secret_key")
        drop_old()

        new.mkdir()
        unpack(tmp_path / "spool.tar.gz", new)
        unpack(tmp_path / "data.tar.gz", new)
        subprocess.run(["pg_restore", "--no-owner", "--dbname", new_url, dump], check=True)
        check_restored(new, new_url, tmp_path, result)
    finally:
        drop_old()
        drop_new()


def test_backup_sqlite__file_exists__is_refused_and_kept(tmp_path: Path) -> None:
    folder, url = tmp_path / "data", f"sqlite:///{tmp_path}/data/holdout.sqlite3"
    folder.mkdir()
    (tmp_path / "copy").write_text("older")
    with pytest.raises(AssertionError, match="exists already"):
        manage(folder, url, "backup_sqlite", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "older"


def check_restored(folder: Path, url: str, files: Path, result: str) -> None:
    manage(folder, url, "migrate", "--verbosity", "0")
    assert events_in(folder, url) == 20
    assert analyze(folder, url, files / "finished.csv") == result
    assert manage(folder, url, "drain").startswith("1 stored, 0 known already, 0 rejected")
    assert events_in(folder, url) == 21
