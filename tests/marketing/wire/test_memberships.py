from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.db import DatabaseError

from marketing.models import Membership, Profile
from marketing.services.segments import refresh_segment
from marketing.wire import memberships as module
from marketing.wire.memberships import Memberships, write
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, make_profile, make_segment

pytestmark = pytest.mark.django_db
VIP = {"attribute": "segments", "op": "contains", "value": "germans"}


@pytest.fixture
def germans() -> Profile:
    person = make_profile(user_id="u1", country="DE")
    make_profile(user_id="u2", country="AT")
    segment = make_segment({"trait": "country", "op": "eq", "value": "DE"}, slug="germans")
    refresh_segment(segment_id=segment.pk, at=NOW)
    assert Membership.objects.get().profile == person
    make_experiment(status="running", unit_type="user_id", key="vip", targeting=VIP)
    return person


def test_memberships__of_a_member__are_read_from_the_file_only(
    tmp_path: Path, germans: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memberships.bin"
    known = Memberships(file, in_background=False)
    assert known.of("user_id", "u1") == ["germans"]
    assert known.of("user_id", "u2") == known.of("anonymous", "u1") == known.of("profile", "u1") == []
    assert b"u1" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600

    def down() -> tuple[int, ...]:
        raise DatabaseError("gone")

    monkeypatch.setattr(module, "membership_version", down)
    monkeypatch.setattr(module, "FRESH_FOR", -1.0)
    assert known.of("user_id", "u1") == ["germans"]
    assert Memberships(file, in_background=False).of("user_id", "u1") == ["germans"]


def test_memberships__somebody_leaves__is_seen_after_the_next_look(
    tmp_path: Path, germans: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Memberships(tmp_path / "memberships.bin", in_background=False)
    assert known.of("user_id", "u1") == ["germans"]
    Profile.objects.filter(pk=germans.pk).update(country="FR")
    refresh_segment(segment_id=Membership.objects.get().segment_id, at=NOW)
    assert known.of("user_id", "u1") == ["germans"]
    monkeypatch.setattr(module, "FRESH_FOR", -1.0)
    assert known.of("user_id", "u1") == []


def test_write__nothing_changed__leaves_the_file(tmp_path: Path, germans: Profile) -> None:
    file = tmp_path / "memberships.bin"
    assert write(file, ["germans"])
    assert not write(file, ["germans"])
    assert write(file, [])


def test_write__another_process_is_at_it__does_nothing(tmp_path: Path, germans: Profile) -> None:
    import fcntl

    file = tmp_path / "memberships.bin"
    descriptor = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert not write(file, ["germans"])
    os.close(descriptor)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 0, "n": 0}'.ljust(module.HEADER)])
def test_map__no_file_of_ours__is_nobody(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memberships.bin"
    file.write_bytes(content)

    def refuse(*_arguments: object) -> bool:
        raise OSError("read-only")

    monkeypatch.setattr(module, "write", refuse)
    assert Memberships(file, in_background=False).of("user_id", "u1") == []


def test_write__too_many_names__is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="longer than"):
        write(tmp_path / "memberships.bin", [f"{'x' * 60}-{number}" for number in range(2_000)])
