"""Write keys: shown once, kept as a hash, revocable."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from marketing.choices import SourceKind
from marketing.errors import CannotIssueKey
from marketing.models import Source, WriteKey
from marketing.services.sources import ensure_source, in_force, issue_key, revoke_key, rotate_key
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW, make_source

pytestmark = pytest.mark.django_db


def test_ensure_source__again__is_the_same_and_keeps_its_kind() -> None:
    first = ensure_source(name="shop", kind=SourceKind.SERVER, at=NOW)
    again = ensure_source(name="shop", kind=SourceKind.BROWSER, at=NOW)

    assert first == again
    assert Source.objects.get().kind == SourceKind.SERVER


def test_issue_key__secret__is_returned_once_and_kept_as_a_hash() -> None:
    key, secret = issue_key(source=make_source(), scopes=["collect"], at=NOW)
    _, other = issue_key(source=make_source(), scopes=["collect"], at=NOW)

    assert secret.startswith("hk_")
    assert len(secret) > 40
    assert secret != other
    key.refresh_from_db()
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(WriteKey.objects.filter(pk=key.pk).values().get())
    assert (str(key), key.scopes) == (f"{secret[:8]}…", ["collect"])


def test_revoke_key__twice__counts_once() -> None:
    key, _ = issue_key(source=make_source(), scopes=[], at=NOW)

    assert revoke_key(key_id=key.pk, at=NOW)
    assert not revoke_key(key_id=key.pk, at=NOW)
    key.refresh_from_db()
    assert key.revoked_at == NOW


def test_issue_key__of_the_management_api__acts_for_a_person() -> None:
    user = make_user()
    key, _ = issue_key(source=make_source(), scopes=["read"], at=NOW, acts_for=user)

    assert key.acts_for == user
    with pytest.raises(CannotIssueKey, match="name one"):
        issue_key(source=make_source(), scopes=["manage"], at=NOW)


def test_issue_key__of_the_management_api_for_a_browser__is_refused() -> None:
    browser = ensure_source(name="page", kind=SourceKind.BROWSER, at=NOW)

    with pytest.raises(CannotIssueKey, match="its keys are public"):
        issue_key(source=browser, scopes=["write", "read"], at=NOW, acts_for=make_user())


def test_rotate_key__overlap__both_are_in_force_and_then_one() -> None:
    old, _ = issue_key(source=make_source(), scopes=["write"], at=NOW, rate_limit=60, quota=1_000)
    new, secret = rotate_key(key_id=old.pk, overlap=timedelta(hours=1), at=NOW)

    assert new.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (new.scopes, new.rate_limit, new.quota, new.source) == (["write"], 60, 1_000, old.source)
    during, after = NOW + timedelta(minutes=59), NOW + timedelta(minutes=60)
    assert set(WriteKey.objects.filter(in_force(during))) == {old, new}
    assert set(WriteKey.objects.filter(in_force(after))) == {new}


def test_rotate_key__again__never_prolongs_the_old_one() -> None:
    old, _ = issue_key(source=make_source(), scopes=["write"], at=NOW)
    rotate_key(key_id=old.pk, overlap=timedelta(hours=1), at=NOW)
    rotate_key(key_id=old.pk, overlap=timedelta(days=1), at=NOW)
    old.refresh_from_db()
    assert old.expires_at == NOW + timedelta(hours=1)
    with pytest.raises(CannotIssueKey, match="no longer in force"):
        rotate_key(key_id=old.pk, overlap=timedelta(0), at=NOW + timedelta(hours=1))
