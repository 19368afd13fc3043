"""Lists: members out of files, resumable, with reasons for what was left out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from marketing.choices import ListMode, MergeReason
from marketing.errors import CannotEditSegment, CannotImport
from marketing.models import ChangeLog, ImportRun, Membership, Profile, Segment
from marketing.segmentation.clock import to_micros
from marketing.services import lists
from marketing.services.consent import object_to_marketing
from marketing.services.exports import export_members
from marketing.services.identity import merge
from marketing.services.membership import refresh_changes
from tests.factories.marketing import NOW, make_profile, make_segment

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def write(path: Path, rows: Iterable[str], header: str = "user_id") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def members(segment: Segment) -> set[str]:
    rows = Membership.objects.filter(segment=segment, profile__identities__kind="user_id")
    return set(rows.values_list("profile__identities__value", flat=True))


@pytest.fixture
def vips() -> Segment:
    for name in ("ann", "bob", "cem"):
        make_profile(user_id=name, email=f"{name}@example.org")
    return lists.create_list(name="VIPs", at=NOW)


def test_import_members__known_and_unknown_people__are_members_or_rejected_with_a_reason(
    vips: Segment, tmp_path: Path
) -> None:
    path = write(tmp_path / "vips.csv", ["ann", "nobody", "bob", "", "ann"])
    found = lists.import_members(segment_id=vips.pk, path=path, at=NOW)

    assert (found.rows, found.accepted, found.duplicates, found.rejected, found.members) == (4, 2, 1, 1, 2)
    assert members(vips) == {"ann", "bob"}
    assert Profile.objects.count() == 3
    assert found.rejected_file is not None
    with found.rejected_file.open() as file:
        rows = list(csv.reader(file))
    assert [row[1] for row in rows] == ["reason", "nobody is known by this user_id"]


def test_import_members__modes__add_remove_and_replace(vips: Segment, tmp_path: Path) -> None:
    def load(mode: ListMode, *names: str, day: int) -> None:
        path = write(tmp_path / f"{day}.csv", names)
        lists.import_members(segment_id=vips.pk, path=path, at=NOW + day * DAY, mode=mode)

    load(ListMode.ADD, "ann", day=1)
    load(ListMode.ADD, "bob", day=2)
    assert members(vips) == {"ann", "bob"}
    load(ListMode.REMOVE, "ann", day=3)
    assert members(vips) == {"bob"}
    load(ListMode.REPLACE, "ann", "cem", day=4)
    assert members(vips) == {"ann", "cem"}
    load(ListMode.ADD, "bob", day=2)  # the same file once more does the same once more
    assert members(vips) == {"ann", "bob", "cem"}


def test_import_members__stopped_in_between__goes_on_where_it_was(
    vips: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "BATCH", 2)
    path = write(tmp_path / "vips.csv", ["ann", "nobody", "bob", "cem"])

    def stop(_step: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lists.import_members(segment_id=vips.pk, path=path, at=NOW, report=stop)
    run = ImportRun.objects.get()
    assert (run.next_row, run.accepted, run.finished_at) == (2, 1, None)
    found = lists.import_members(segment_id=vips.pk, path=path, at=NOW)

    assert (found.rows, found.accepted, found.rejected) == (4, 3, 1)
    assert members(vips) == {"ann", "bob", "cem"}


def test_import_members__wrong_file_or_segment__is_refused(vips: Segment, tmp_path: Path) -> None:
    with pytest.raises(CannotImport, match="no column says who"):
        lists.import_members(segment_id=vips.pk, path=write(tmp_path / "x.csv", ["1"], "shoe"), at=NOW)
    rule = make_segment({"all": []})
    with pytest.raises(CannotEditSegment, match="is no list in use"):
        lists.import_members(segment_id=rule.pk, path=write(tmp_path / "y.csv", ["ann"]), at=NOW)


def test_list__merged_person__stays_a_member(vips: Segment, tmp_path: Path) -> None:
    lists.import_members(segment_id=vips.pk, path=write(tmp_path / "x.csv", ["ann"]), at=NOW)
    ann, bob = Profile.objects.get(email="ann@example.org"), Profile.objects.get(email="bob@example.org")
    merge(winner_id=bob.pk, loser_id=ann.pk, reason=MergeReason.MANUAL, at=NOW + DAY)
    refresh_changes(at=NOW + DAY)

    assert list(Membership.objects.values_list("profile_id", flat=True)) == [bob.pk]


def test_commands__import_and_export__speak_of_the_same_people(vips: Segment, tmp_path: Path) -> None:
    out = io.StringIO()
    path = write(tmp_path / "x.csv", ["bob@example.org", "zoe@example.org"], "E-mail")
    call_command("import_members", "Friends", str(path), "--create", stdout=out)
    assert "friends has 1 members now" in out.getvalue()
    assert "1 rejected" in out.getvalue()

    out = io.StringIO()
    call_command("export_segment", "friends", stdout=out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert (row["user_id"], row["email"]) == ("bob", "bob@example.org")
    target = tmp_path / "out.csv"
    call_command("export_segment", "friends", "--output", str(target))
    assert "bob@example.org" in target.read_text()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_segment", "friends", "--output", str(target))
    for arguments in (("export_segment", "none"), ("import_members", "none", str(path)), ("import_members", "x", "no")):
        with pytest.raises(CommandError):
            call_command(*arguments)


def test_export_members__formulas_and_objectors__neither_comes_through(tmp_path: Path) -> None:
    bad = make_profile(user_id="=1+1", email="x@example.org")
    other = make_profile(user_id="no", email="y@example.org")
    vips = lists.create_list(name="Mail", at=NOW, is_marketing=True)
    lists.import_members(segment_id=vips.pk, path=write(tmp_path / "x.csv", ["=1+1", "no"]), at=NOW)
    assert Membership.objects.count() == 2
    object_to_marketing(profile_id=other.pk, source="test", at=to_micros(NOW + DAY))
    rows = list(csv.DictReader(io.StringIO("".join(export_members(segment_id=vips.pk, at=NOW + DAY)))))

    assert [(row["profile"], row["user_id"]) for row in rows] == [(str(bad.public_id), "'=1+1")]
    entry = ChangeLog.objects.get(transition="export")
    assert entry.snapshot["columns"][0] == "profile"
    assert refresh_changes(at=NOW + DAY).refreshed[vips.pk].left == 1


def test_export_members__many__are_read_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("marketing.services.exports.CHUNK", 2)
    for _ in range(5):
        make_profile()
    segment = make_segment({"all": []})
    refresh_changes(at=NOW)
    parts = list(export_members(segment_id=segment.pk, at=NOW))

    assert len(parts) == 4
    assert len(list(csv.reader(io.StringIO("".join(parts))))) == 6
