"""Files come in once, row by row, however often they are read and whatever is in them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketing.choices import ImportKind, Purpose
from marketing.errors import CannotImport
from marketing.models import Consent, Event, Identity, ImportRun, Profile, ProfileTrait
from marketing.segmentation.clock import to_micros
from marketing.selectors.consent import consent_state, has_consent
from marketing.services import imports
from marketing.services import mapping as mapping_module
from marketing.services.imports import import_file, safe_cell
from marketing.services.mapping import RowMapping
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db

EVENTS = """user_id,event,timestamp,product_id,revenue,color
u1,Product Viewed,2026-11-01T10:00:00Z,p1,,blue
u2,Order Completed,2026-11-02 11:30:00,p2,12.50,
u1,Order Completed,1793527200,p1,7,red
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def command(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def rejects(path: Path) -> list[list[str]]:
    with path.with_name(path.name + ".rejected.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_import_events__csv__stores_the_rows_once(tmp_path: Path) -> None:
    file = write(tmp_path / "events.csv", EVENTS)

    assert "3 rows: 3 stored, 0 known already, 0 rejected." in command("import_events", str(file))
    again = command("import_events", str(file))
    assert "imported already" in again
    assert "3 rows: 0 stored, 3 known already" in command("import_events", str(file), "--again")

    assert Event.objects.count() == 3
    order = Event.objects.get(profile__identities__value="u2")
    assert (order.item, order.value, order.at) == ("p2", 12_500_000, 1_793_619_000_000_000)
    viewed = Event.objects.get(type__name="Product Viewed")
    assert viewed.props == {"color": "blue"}
    assert not (tmp_path / "events.csv.rejected.csv").exists()


def test_import_events__same_rows_under_another_name__add_nothing(tmp_path: Path) -> None:
    command("import_events", str(write(tmp_path / "one.csv", EVENTS)))
    command("import_events", str(write(tmp_path / "two.csv", EVENTS)))

    assert (Event.objects.count(), ImportRun.objects.count()) == (3, 1)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_import_events__delimiters_bom_and_gzip__are_recognised(tmp_path: Path, delimiter: str) -> None:
    text = "\ufeff" + EVENTS.replace(",", delimiter)
    file = tmp_path / "events.csv.gz"
    file.write_bytes(gzip.compress(text.encode()))

    assert "3 rows: 3 stored" in command("import_events", str(file))


def test_import_events__json_lines__flat_and_in_segments_format(tmp_path: Path) -> None:
    lines: list[Any] = [
        {
            "user_id": "u1",
            "event": "Product Viewed",
            "timestamp": "2026-11-01T10:00:00Z",
            "size": 42,
            "product_id": "p",
        },
        {"type": "track", "userId": "u1", "event": "Order Completed", "messageId": "own", "properties": {"revenue": 3}},
        {"type": "page", "anonymousId": "v1"},
        {"user_id": "u1", "event": "Product Viewed", "properties": {"a": [1]}},
    ]
    file = write(tmp_path / "events.jsonl", "\n".join(json.dumps(line) for line in lines) + "\n\n")

    assert "4 rows: 4 stored" in command("import_events", str(file))
    assert Event.objects.get(message_id="own").value == 3_000_000
    assert Event.objects.get(item="p").props == {"size": 42}
    assert Event.objects.filter(type__name="Page Viewed").count() == 1
    assert {"a": [1]} in Event.objects.values_list("props", flat=True)


def test_import_events__columns_by_other_names__are_mapped(tmp_path: Path) -> None:
    file = write(
        tmp_path / "orders.csv",
        "who,when,amount,shop,id\nAnn@Example.org,2026-07-01 12:00,5,x,7\n,2026-07-01 12:00,1,x,8\n",
    )
    said = command(
        "import_events",
        str(file),
        *("--event", "Order Completed", "--map", "who=email", "--map", "when=timestamp", "--map", "amount=revenue"),
        *("--map", "shop=-", "--map", "id=message_id", "--time-zone", "Europe/Berlin", "--source", "till"),
    )

    assert "2 rows: 1 stored, 0 known already, 1 rejected." in said
    event = Event.objects.select_related("source", "identity").get()
    assert (event.message_id, event.value, event.props, event.source.name) == ("7", 5_000_000, {}, "till")
    assert str(event.identity) == "email:ann@example.org"
    assert event.at == 1_782_900_000_000_000  # 10:00 UTC
    assert rejects(file)[1][:2] == ["2", "neither userId nor anonymousId"]


def test_import_events__bad_rows__are_in_the_reject_file_with_reasons_and_stop_nothing(tmp_path: Path) -> None:
    rows = [
        b"user_id,event,timestamp,revenue",
        b"u1,Order Completed,2026-11-01T10:00:00Z,1",
        b"u1,Order Completed",
        b"u1,Order Completed,yesterday,1",
        b"u1,Order Completed,2026-11-01T10:00:00Z,=1+1",
        b"u\xff,Order Completed,2026-11-01T10:00:00Z,1",
        b'"u1"x,Order Completed,2026-11-01T10:00:00Z,1',
        b"",
        b"u2,,2026-11-01T10:00:00Z,1",
        b"=u3,,2026-11-01T10:00:00Z",
        b"u2,Order Completed,2026-11-01T10:00:00Z,1",
    ]
    file = tmp_path / "events.csv"
    file.write_bytes(b"\n".join(rows))

    assert "9 rows: 2 stored, 0 known already, 7 rejected." in command("import_events", str(file))
    found = rejects(file)
    assert found[0] == ["row", "reason", "content"]
    assert [row[0] for row in found[1:]] == ["2", "3", "4", "5", "6", "7", "8"]
    assert found[1][1] == "line 3 has 2 cells, the first line names 4"
    assert found[2][1] == "timestamp is not a date"
    assert found[3][1] == "the value is not a number"
    assert json.loads(found[3][2])["revenue"] == "=1+1"
    assert found[4][1] == "line 6 is not UTF-8"
    assert found[5][1].startswith("line 7 is not CSV")
    assert found[6][1] == "event is missing"
    assert found[7][2] == "'=u3,,2026-11-01T10:00:00Z"


def test_import_events__bad_json_lines__are_rejected_one_by_one(tmp_path: Path) -> None:
    good = b'{"user_id": "u1", "event": "a"}'
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join([good, b"{", b"[1]", b'{"user_id": "\xff"}', b'"' + b"[" * 5_000, good]))

    assert "6 rows: 2 stored, 0 known already, 4 rejected." in command("import_events", str(file))
    assert {row[1].split(" ", 2)[2] for row in rejects(file)[1:]} == {"is not a JSON object", "is not UTF-8"}


@pytest.mark.parametrize(
    ("name", "text", "arguments", "reason"),
    [
        ("e.csv", "", [], "the file is empty"),
        ("e.csv", "a,,b\n", [], "must name each column once"),
        ("e.csv", "a,a\n", [], "must name each column once"),
        ("e.csv", '"a"b,c\n', [], "line 1 is not CSV"),
        ("e.csv", "event,color\nx,y\n", [], "no column says who"),
        ("e.csv", "user_id,color\nx,y\n", [], "no column says what happened"),
        ("e.csv", "user_id,userid,event\nx,y,z\n", [], "more than one column is user_id"),
        ("e.csv", EVENTS, ["--map", "shoe=event"], "there is no column shoe"),
        ("e.csv", EVENTS, ["--map", "shoe"], "--map needs column=field"),
        ("e.csv", EVENTS, ["--time-zone", "Mars/Base"], "there is no time zone Mars/Base"),
        ("e.jsonl", "x" * 1_100_000, [], "this is not JSON lines"),
        ("none.csv", None, [], "cannot be read"),
        ("e.csv", b"\x1f\x8bnothing", [], "is not a whole gzip file"),
    ],
)
def test_import_events__file_that_cannot_be_read__says_why_and_leaves_nothing(
    tmp_path: Path, name: str, text: str | bytes | None, arguments: list[str], reason: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CommandError, match=reason) as caught:
        command("import_events", str(file), *arguments)

    assert caught.value.returncode == 2
    assert not Event.objects.exists()


def test_import_profiles__people_with_declared_traits__are_joined_by_their_identities(tmp_path: Path) -> None:
    text = "crm_id,email,country,plan,points,secret\nc1,Ann@Example.org,DE,pro,5,x\nc2,bob@example.org,AT,,many,x\n"
    file = write(tmp_path / "people.csv", text)
    declare = ["--declare", "plan:text", "--declare", "points:number:personal"]
    said = command("import_profiles", str(file), *declare)

    assert "Not declared, and therefore left out: secret" in said
    assert "2 rows: 2 stored" in said
    assert "points: left out 1 times" in said
    ann = Identity.objects.select_related("profile").get(kind="crm", value="c1").profile
    assert (ann.email, ann.country) == ("ann@example.org", "DE")
    assert Identity.objects.get(kind="email", value="ann@example.org").profile == ann
    assert dict(ProfileTrait.objects.filter(profile=ann).values_list("definition__key", "text")) == {
        "plan": "pro",
        "points": None,
    }

    command("import_profiles", str(write(tmp_path / "more.csv", "user_id,email,country\nu1,ann@example.org,CH\n")))
    ann.refresh_from_db()
    assert ann.country == "CH"
    assert Profile.objects.count() == 2
    assert Identity.objects.get(kind="user_id").profile == ann


def test_import_profiles__json_lines__traits_flat_or_nested(tmp_path: Path) -> None:
    lines = [{"user_id": 7, "country": "DE"}, {"user_id": "8", "traits": {"country": "AT"}, "timestamp": "2026-01-01"}]
    file = write(tmp_path / "people.jsonl", "\n".join(map(json.dumps, lines)))
    command("import_profiles", str(file))

    countries = dict(Profile.objects.values_list("identities__value", "country"))
    assert countries == {"7": "DE", "8": "AT"}
    assert Profile.objects.get(country="AT").traits_at == 1_767_225_600_000_000


@pytest.mark.parametrize("text", ["plan", "plan:shoe", ":text", "plan:text:secret"])
def test_import_profiles__bad_declaration__is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandError, match="--declare needs") as caught:
        command("import_profiles", str(write(tmp_path / "p.csv", "user_id\nu1\n")), "--declare", text)
    assert caught.value.returncode == 2


def test_import_profiles__missing_file__exits_with_2(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        command("import_profiles", str(tmp_path / "none.csv"))
    assert caught.value.returncode == 2


def _many(path: Path, count: int) -> Path:
    lines = ["user_id,event,timestamp,revenue"]
    for number in range(count):
        when = (NOW - timedelta(minutes=number)).isoformat()
        lines.append(f"u{number % 7},Order Completed,{when},{'x' if number % 4 == 3 else number}")
    return write(path, "\n".join(lines))


def test_import_file__interrupted_between_batches__goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "BATCH", 4)
    file = _many(tmp_path / "events.csv", 18)
    seen: list[int] = []

    def stop(_step: str, done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {"kind": ImportKind.EVENTS, "path": file, "mapping": RowMapping(), "at": NOW}
    with pytest.raises(KeyboardInterrupt):
        import_file(**arguments, report=stop)
    assert ImportRun.objects.get().next_row == 8
    # As a kill in the middle of the third batch would leave it: lines of rows that were not stored.
    with file.with_name("events.csv.rejected.csv").open("a") as half:
        half.write("12,half a li")

    summary = import_file(**arguments)
    assert (summary.rows, summary.accepted, summary.duplicates, summary.rejected) == (18, 14, 0, 4)
    assert [row[0] for row in rejects(file)[1:]] == ["4", "8", "12", "16"]
    assert Event.objects.count() == 14


def test_import_file__two_at_once__the_slower_one_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "BATCH", 4)
    file = _many(tmp_path / "events.csv", 8)
    arguments: dict[str, Any] = {"kind": ImportKind.EVENTS, "path": file, "mapping": RowMapping(), "at": NOW}

    def overtake(_step: str, _done: int, _total: int) -> None:
        ImportRun.objects.update(next_row=8)

    with pytest.raises(CannotImport, match="another process is importing"):
        import_file(**arguments, report=overtake)


def test_import_file__naive_times_and_numbers__are_read_as_said(tmp_path: Path) -> None:
    text = "user_id,event,timestamp\nu1,a,1793527200.5\nu1,b,2026-11-01 10:00\nu1,c,20261101\nu1,d,soon\nu1,e,\n"
    mapping = RowMapping(time_zone="America/New_York")
    file = write(tmp_path / "e.csv", text)
    summary = import_file(kind=ImportKind.EVENTS, path=file, mapping=mapping, at=NOW)

    moments = dict(Event.objects.values_list("type__name", "at"))
    assert summary.rejected == 1
    assert moments == {
        "a": 1_793_527_200_500_000,
        "b": 1_793_545_200_000_000,
        "c": 1_793_505_600_000_000,
        "e": to_micros(NOW),
    }


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx"])
def test_safe_cell__formula__is_quoted(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell("plain") == "plain"


CONSENTS = """user_id,country,consent_analytics,consent_personalization,consent_at,consent_text_version
u1,DE,yes,1,2026-05-01,7
u2,AT,no,,,
u3,AT,TRUE,perhaps,,
u4,AT,0,false,2099-01-01,
,AT,yes,yes,,
"""


def test_import_profiles__consents__are_recorded_once_with_where_they_come_from(tmp_path: Path) -> None:
    file = write(tmp_path / "people.csv", CONSENTS)
    said = command("import_profiles", str(file))

    assert "5 rows: 2 stored, 0 known already, 3 rejected." in said
    assert "3 consents recorded." in said
    assert "Not declared" not in said
    assert [row[1] for row in rejects(file)[1:]] == [
        "consent_personalization must be yes or no",
        "consent_at lies in the future",
        "neither userId nor anonymousId",
    ]
    rows = Consent.objects.order_by("pk").select_related("profile")
    assert [(row.profile.country, row.purpose, row.granted) for row in rows] == [
        ("DE", "analytics", True),
        ("DE", "personalization", True),
        ("AT", "analytics", False),
    ]
    first = rows[0]
    assert (first.text_version, first.lawful_basis, first.source) == ("7", "consent", "import")
    assert first.evidence == {"file": "people.csv", "row": 1}
    assert first.at == 1_777_593_600_000_000
    assert rows[2].text_version == "import:people.csv"
    assert has_consent(profile_id=first.profile_id, purpose=Purpose.ANALYTICS)
    assert not has_consent(profile_id=first.profile_id, purpose=Purpose.ANALYTICS, before=first.at)

    assert "consents recorded" not in command("import_profiles", str(file), "--again")
    assert Consent.objects.count() == 3
    withdrawn = write(tmp_path / "later.csv", "user_id,consent_analytics,consent_marketing_email\nu1,no,yes\n")
    assert "2 consents recorded." in command("import_profiles", str(withdrawn))
    assert not has_consent(profile_id=first.profile_id, purpose=Purpose.ANALYTICS)
    assert consent_state(profile_id=first.profile_id)["marketing_email"].granted
    assert Profile.objects.get(country="DE").marketing_ok


def test_import_profiles__unknown_purpose__is_rejected(tmp_path: Path) -> None:
    file = write(tmp_path / "people.csv", "user_id,consent_fun\nu1,yes\n")
    command("import_profiles", str(file))

    assert rejects(file)[1][1].startswith("there is no purpose fun")


def test_import_events__nobody_agreed__says_that_nothing_can_be_learnt(tmp_path: Path) -> None:
    assert "Nobody has agreed to personalization" in command("import_events", str(write(tmp_path / "a.csv", EVENTS)))
    people = write(tmp_path / "people.csv", "user_id,consent_personalization\nu1,yes\n")
    command("import_profiles", str(people))

    assert "Nobody has agreed" not in command("import_events", str(write(tmp_path / "b.csv", EVENTS + "\n")))


def test_import_events__amounts_without_a_rate__are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user_id,event,revenue,currency\nu1,Order Completed,5,GBP\n")

    assert "1 amounts are held out" in command("import_events", str(file))


def test_import_file__json_lines_with_endless_new_names__remembers_only_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mapping_module, "MOST_COLUMNS", 2)
    rows = RowMapping()
    assert [rows.field_of(name) for name in ("a", "User ID", "c", "c")] == ["a", "user_id", "c", "c"]
