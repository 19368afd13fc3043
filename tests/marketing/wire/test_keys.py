from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from marketing.choices import KeyScope
from marketing.models import Source, WriteKey
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
