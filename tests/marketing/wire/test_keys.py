from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError

from marketing.choices import KeyScope
from marketing.errors import KeysUnknown
from marketing.models import KeyUsage, Source, WriteKey
from marketing.wire import keys
from marketing.wire.keys import WriteKeys

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRET = "hk_secret"


@pytest.fixture(autouse=True)
def key() -> WriteKey:
    source = Source.objects.create(name="shop", kind="browser", created_at=NOW)
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    return WriteKey.objects.create(source=source, prefix="hk_secre", sha256=digest, scopes=["write"], created_at=NOW)


def test_find__right_scope__is_the_key(key: WriteKey) -> None:
    found = WriteKeys().find(SECRET, KeyScope.WRITE)
    assert found is not None
    assert (found.id, found.source_id, found.rate_limit) == (key.pk, key.source_id, None)


@pytest.mark.parametrize(
    ("secret", "scope"), [(SECRET, KeyScope.DECIDE), ("other", KeyScope.WRITE), ("\ud800", KeyScope.WRITE)]
)
def test_find__another_scope_or_secret__is_nothing(secret: str, scope: KeyScope) -> None:
    assert WriteKeys().find(secret, scope) is None


def test_find__archived_source__is_nothing() -> None:
    Source.objects.update(archived_at=NOW)
    assert WriteKeys().find(SECRET, KeyScope.WRITE) is None


def test_wait__no_limit__never() -> None:
    known = WriteKeys()
    found = known.find(SECRET, KeyScope.WRITE)
    assert found is not None
    assert {known.wait(found) for _ in range(1_000)} == {0}


def test_wait__limit__is_refilled_by_time_and_follows_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("marketing.wire.keys.time.monotonic", lambda: now)
    WriteKey.objects.update(rate_limit=6)
    known = WriteKeys()
    found = known.find(SECRET, KeyScope.WRITE)
    assert found is not None
    assert [known.wait(found) for _ in range(7)] == [0, 0, 0, 0, 0, 0, 10]
    now += 10.5
    assert [known.wait(found), known.wait(found)] == [0, 10]
    WriteKey.objects.update(rate_limit=60)
    changed = known.find(SECRET, KeyScope.WRITE)
    assert changed is not None
    assert changed.rate_limit == 60
    assert known.wait(changed) == 0


def test_use__noted_once_a_minute(key: WriteKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "FRESH_FOR", -1.0)
    known = WriteKeys()
    known.find(SECRET, KeyScope.WRITE)
    known.find(SECRET, KeyScope.WRITE)
    key.refresh_from_db()
    assert key.last_used_at is None
    monkeypatch.setattr(keys, "NOTED_EVERY", -1.0)
    known.find(SECRET, KeyScope.WRITE)
    key.refresh_from_db()
    assert key.last_used_at is not None


def test_quota__used_up__waits_until_there_is_more(key: WriteKey, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000 * 86_400 + 100.0
    monkeypatch.setattr("marketing.wire.keys.time.time", lambda: now)
    WriteKey.objects.update(quota=10)
    known = WriteKeys()
    found = known.find(SECRET, KeyScope.WRITE)
    assert found is not None
    assert [known.wait(found, 6), known.wait(found, 5), known.wait(found, 4)] == [0, keys.LONGEST_WAIT, 0]
    now = 1_001 * 86_400 - 7.0
    assert known.wait(found, 1) == 7
    now += 8
    assert known.wait(found, 10) == 0


def test_quota__two_processes__count_together(key: WriteKey, monkeypatch: pytest.MonkeyPatch) -> None:
    WriteKey.objects.update(quota=10)
    first, second = WriteKeys(), WriteKeys()
    for process, n in ((first, 4), (second, 5)):
        found = process.find(SECRET, KeyScope.WRITE)
        assert found is not None
        assert process.wait(found, n) == 0
    monkeypatch.setattr(keys, "FRESH_FOR", -1.0)
    for process in (first, second, first):
        found = process.find(SECRET, KeyScope.WRITE)
    assert found is not None
    assert KeyUsage.objects.get().n == 9
    assert first.wait(found, 2) > 0
    assert first.wait(found, 1) == 0


def test_quota__database_down__nothing_counted_is_forgotten(key: WriteKey, monkeypatch: pytest.MonkeyPatch) -> None:
    known = WriteKeys()
    found = known.find(SECRET, KeyScope.WRITE)
    assert found is not None
    known.wait(found, 3)
    monkeypatch.setattr(keys, "FRESH_FOR", -1.0)
    with monkeypatch.context() as narrow:
        narrow.setattr(KeyUsage.objects, "get_or_create", down)
        assert known.find(SECRET, KeyScope.WRITE) == found
    assert not KeyUsage.objects.exists()
    known.find(SECRET, KeyScope.WRITE)
    assert KeyUsage.objects.get().n == 3


def test_key__expired__is_refused_even_without_the_database(key: WriteKey, monkeypatch: pytest.MonkeyPatch) -> None:
    WriteKey.objects.update(expires_at=datetime.now(UTC) + timedelta(seconds=60))
    known = WriteKeys()
    assert known.find(SECRET, KeyScope.WRITE) is not None
    monkeypatch.setattr(keys, "FRESH_FOR", -1.0)
    monkeypatch.setattr(WriteKey.objects, "filter", down)
    later = time.time() + 61
    monkeypatch.setattr("marketing.wire.keys.time.time", lambda: later)
    assert known.find(SECRET, KeyScope.WRITE) is None


def test_start__database_down__keys_come_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.json"
    found = WriteKeys(file).find(SECRET, KeyScope.WRITE)
    assert file.stat().st_mode & 0o777 == 0o600
    assert SECRET not in file.read_text()
    monkeypatch.setattr(WriteKey.objects, "filter", down)
    assert WriteKeys(file).find(SECRET, KeyScope.WRITE) == found
    for content in ("{", '{"schema": 0}'):
        file.write_text(content)
        with pytest.raises(KeysUnknown):
            WriteKeys(file).find(SECRET, KeyScope.WRITE)


def test_file__cannot_be_written__keys_are_known_all_the_same(tmp_path: Path) -> None:
    assert WriteKeys(tmp_path / "missing" / "keys.json").find(SECRET, KeyScope.WRITE) is not None


@pytest.mark.django_db(transaction=True)
def test_background__stale__answers_at_once_and_reads_beside(key: WriteKey, monkeypatch: pytest.MonkeyPatch) -> None:
    known = WriteKeys(in_background=True)
    assert known.find(SECRET, KeyScope.WRITE) is not None
    started: list[threading.Thread] = []

    def remember(thread: threading.Thread) -> None:
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", remember)
    monkeypatch.setattr(keys, "FRESH_FOR", -1.0)
    WriteKey.objects.update(revoked_at=NOW)
    assert known.find(SECRET, KeyScope.WRITE) is not None
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.undo()
        monkeypatch.setattr(keys, "FRESH_FOR", 0.0)
        pool.submit(started[0].run).result()
    monkeypatch.setattr(keys, "FRESH_FOR", 5.0)
    assert known.find(SECRET, KeyScope.WRITE) is None


def down(*_args: object, **_options: object) -> None:
    raise DatabaseError("gone")
