"""The segment pages: list, builder with live count, detail, explanation."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from marketing import tasks
from marketing.choices import TraitType
from marketing.forms.builder import Builder, act, new_builder, read_builder
from marketing.forms.rules import builder_of, rule_of
from marketing.models import ChangeLog, Membership, Segment
from marketing.selectors import segments as reads
from marketing.services.profiles import declare_trait
from marketing.services.segments import archive_segment, edit_segment, record_failure, refresh_segment
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
GERMANS = {"trait": "country", "op": "eq", "value": "DE"}


@pytest.fixture
def marketer(client: Client) -> Client:
    client.force_login(make_user(role="marketer"))
    return client


def row(group: str = "g1", **given: str) -> dict[str, str]:
    blank = dict.fromkeys(("negated", "op", "value", "days", "until", "property", "property_value"), "")
    return {**blank, "group": group, "n": "1", "measure": "count", "property_op": "eq", **given}


def posted(
    *rows: dict[str, str], groups: tuple[tuple[str, str], ...] = (("g1", "all"),), match: str = "all", **more: str
) -> dict[str, Any]:
    """What the browser sends: each column of the rows is one list."""
    data: dict[str, Any] = {"match": match, "group_id": [g for g, _ in groups], "group_match": [m for _, m in groups]}
    for name in (*row(), "kind", "key"):
        data[f"row_{name}"] = [one[name] for one in rows]
    return {**data, **more}


def query(data: dict[str, Any]) -> QueryDict:
    result = QueryDict(mutable=True)
    for name, value in data.items():
        result.setlist(name, value if isinstance(value, list) else [value])
    return result


COUNTRY = row(kind="trait", key="country", op="eq", value="DE")
ORDERS = row(kind="event", key="Order Completed", op="gte", n="2", days="30")


def test_new__conditions__saves_the_rule_counts_its_members_and_shows_them(marketer: Client) -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    answer = marketer.post(reverse("marketing:segment-new"), posted(COUNTRY, name="Germans"), follow=True)

    segment = Segment.objects.select_related("version", "owner").get()
    assert segment.version is not None
    assert segment.version.rule == {"schema": 1, "root": {"all": [GERMANS]}}
    assert (segment.members_n, segment.slug) == (1, "germans")
    assert segment.owner is not None
    assert answer.redirect_chain == [("/segments/germans/", 302)]
    text = answer.content.decode()
    assert "has 1 members now" in text
    assert "country is DE" in text


def test_new__every_kind_of_row__becomes_its_node(marketer: Client) -> None:
    declare_trait(key="vip", name="VIP", type_=TraitType.BOOLEAN)
    declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)
    make_segment({"all": []}, slug="everybody")
    rows = (
        row(kind="trait", key="country", op="in", value="DE, AT,"),
        row(kind="trait", key="email", op="is_set", negated="1"),
        row(kind="trait", key="vip", op="eq", value="true"),
        row(kind="trait", key="visits", op="gte", value="2,5"),
        row(kind="trait", key="last_seen_at", op="within_days", value="7"),
        row("g2", kind="event", key="Order Completed", op="gte", n="100", days="30", measure="sum"),
        row("g2", kind="event", key="x", op="lt", n="3", property="color", property_op="in", property_value="a, b"),
        row("g2", kind="segment", key="everybody"),
        row("g2", kind="consent", key="analytics", negated="1"),
        row("g2", kind="sample", key="", n="12.5", value="mail"),
    )
    data = posted(*rows, groups=(("g1", "any"), ("g2", "all")), match="any", name="All sorts")
    marketer.post(reverse("marketing:segment-new"), data)

    segment = Segment.objects.select_related("version").get(slug="all-sorts")
    assert segment.version is not None
    assert segment.version.rule["root"] == {
        "any": [
            {
                "any": [
                    {"trait": "country", "op": "in", "value": ["DE", "AT"]},
                    {"not": {"trait": "email", "op": "is_set"}},
                    {"trait": "vip", "op": "eq", "value": True},
                    {"trait": "visits", "op": "gte", "value": 2.5},
                    {"trait": "last_seen_at", "op": "within_days", "value": 7},
                ]
            },
            {
                "all": [
                    {"event": "Order Completed", "op": "gte", "n": 100, "measure": "sum", "days": 30},
                    {
                        "event": "x",
                        "op": "lt",
                        "n": 3,
                        "where": [{"property": "color", "op": "in", "value": ["a", "b"]}],
                    },
                    {"in_segment": "everybody"},
                    {"not": {"consent": "analytics"}},
                    {"sample": {"salt": "mail", "percent": 12.5}},
                ]
            },
        ]
    }
    # What was saved opens in the builder as it was typed, and saving it again changes nothing.
    builder = builder_of(segment.version.rule)
    assert builder is not None
    assert rule_of(builder, reads.vocabulary()) == segment.version.rule


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(kind="trait", key="country", op="eq", value=" "), "A value is missing."),
        (row(kind="trait", key="country", op="gt", value="x"), "Choose how to compare."),
        (row(kind="trait", key="shoe", op="eq", value="x"), "Choose how to compare."),
        (row(kind="trait", key="birth_year", op="eq", value="x"), "This must be a number."),
        (row(kind="trait", key="last_seen_at", op="within_days", value="x"), "How many days?"),
        (row(kind="event", key="a", op="gte", n="x"), "How often?"),
        (row(kind="event", key="a", op="gte", days="x"), "In how many days?"),
        (row(kind="event", key="a", op="gte", property="color"), "A value of the property is missing."),
        (row(kind="sample", key="", n="x"), "How many per cent?"),
        (row(kind="shoe", key=""), "This condition is not known here."),
        (row(kind="sample", key="", n="120"), "percent must be between 0 and 100"),
        (row(kind="event", key="a", op="gte", days="9999"), "days must be between"),
    ],
)
def test_new__condition_that_says_nothing__is_shown_with_its_problem(
    marketer: Client, bad: dict[str, str], message: str
) -> None:
    answer = marketer.post(reverse("marketing:segment-new"), posted(COUNTRY, bad, name="x"))

    assert message in answer.content.decode()
    assert 'value="DE"' in answer.content.decode()
    assert not Segment.objects.exists()


def test_new__without_a_name__keeps_the_conditions(marketer: Client) -> None:
    answer = marketer.post(reverse("marketing:segment-new"), posted(COUNTRY))

    assert 'value="DE"' in answer.content.decode()
    assert not Segment.objects.exists()


def test_new__called_new__gets_an_address_of_its_own(marketer: Client) -> None:
    marketer.post(reverse("marketing:segment-new"), posted(name="New"))

    assert Segment.objects.get().slug == "new-2"
    assert "No condition yet" in marketer.get(reverse("marketing:segment-new")).content.decode()


def test_new__many_people__leaves_the_counting_to_the_worker(
    marketer: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    make_profile()
    asked: list[int] = []
    monkeypatch.setattr(reads, "PREVIEW_FROM", 0)
    monkeypatch.setattr(tasks.refresh_segment, "delay", asked.append)
    with django_capture_on_commit_callbacks(execute=True):
        answer = marketer.post(reverse("marketing:segment-new"), posted(name="Big"), follow=True)

    assert asked == [Segment.objects.get().pk]
    assert "are being counted" in answer.content.decode()
    assert "have not been counted yet" in answer.content.decode()


def test_list__uploaded_file__is_read_by_the_worker_and_shown_with_its_rejected_rows(
    marketer: Client,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(tasks.import_list, "delay", tasks.import_list)
    make_profile(user_id="ann", email="ann@example.org")
    make_profile(user_id="bob")
    new = reverse("marketing:segment-list-new")
    assert "From a file" in marketer.get(reverse("marketing:segment-list")).content.decode()
    assert "Make the list" in marketer.get(new).content.decode()
    refused = marketer.post(new, {"name": "VIPs", "file": SimpleUploadedFile("x.csv", b"shoe\n1\n")})
    assert refused.status_code == 422
    assert "no column says who" in refused.content.decode()
    assert marketer.post(new, {"name": "VIPs"}).status_code == 422
    with django_capture_on_commit_callbacks(execute=True):
        marketer.post(new, {"name": "VIPs", "file": SimpleUploadedFile("x.csv", b"user_id\nann\nzoe\n")})

    page = marketer.get("/segments/vips/").content.decode()
    assert "2 rows: 1 people, 1 rejected" in page
    assert "ann@example.org" in page
    rejected = re.search(r"/segments/vips/imports/\d+/", page)
    assert rejected is not None
    answer = marketer.get(rejected.group())
    assert b"nobody is known by this user_id" in b"".join(answer)
    assert marketer.get("/segments/vips/imports/999/").status_code == 404
    assert min(path.name for path in (tmp_path / "uploads").iterdir()).startswith("rejected-")
    with django_capture_on_commit_callbacks(execute=True):
        file = SimpleUploadedFile("y.csv", b"user_id\nbob\n")
        marketer.post("/segments/vips/upload/", {"file": file, "mode": "replace"})
    assert list(Membership.objects.values_list("profile__identities__value", flat=True)) == ["bob"]
    assert "1 rows: 1 people" in marketer.get("/segments/vips/imports/").content.decode()


def test_upload__to_a_rule_or_without_a_file__is_refused(marketer: Client) -> None:
    make_segment({"all": []}, slug="rule")
    text = marketer.post("/segments/rule/upload/", {}, follow=True).content.decode()
    assert "members come from its rule" in text


def test_export__members__stream_as_csv_and_are_logged(marketer: Client) -> None:
    make_profile(user_id="ann")
    refresh_segment(segment_id=make_segment({"all": []}, slug="all-of-them").pk, at=NOW)
    answer = marketer.post("/segments/all-of-them/export/")

    assert answer.streaming
    assert b",ann," in b"".join(answer)
    assert ChangeLog.objects.get(transition="export").actor is not None


def test_restore__archived_segment__is_in_use_again_or_says_why_not(
    marketer: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr(tasks.refresh_segment, "delay", tasks.refresh_segment)
    make_profile()
    first, second = make_segment({"all": []}, slug="first"), make_segment({"in_segment": "first"}, slug="second")
    archive_segment(segment_id=second.pk, at=NOW)
    archive_segment(segment_id=first.pk, at=NOW)
    assert "first" in marketer.get("/segments/?archived=1").content.decode()
    assert "Use it again" in marketer.get("/segments/second/").content.decode()
    refused = marketer.post("/segments/second/restore/", follow=True).content.decode()
    assert "there is no segment first" in refused
    with django_capture_on_commit_callbacks(execute=True):
        marketer.post("/segments/first/restore/")
        marketer.post("/segments/second/restore/")
        marketer.post("/segments/second/restore/")

    assert list(Segment.objects.order_by("slug").values_list("archived_at", "members_n")) == [(None, 1), (None, 1)]


def test_detail__versions__say_in_words_what_changed(marketer: Client) -> None:
    segment = make_segment({"all": [GERMANS]}, slug="some")
    more = {"all": [GERMANS, {"consent": "profiling"}]}
    edit_segment(segment_id=segment.pk, rule={"schema": 1, "root": more}, at=NOW)
    text = marketer.get("/segments/some/").content.decode()

    assert "<ins>agreed to profiling</ins>" in text
    assert "<del>" not in text


def actions(builder: Builder, *names: str, **new: str) -> Builder:
    data = query({f"new_{group}": value for group, value in new.items()})
    for name in names:
        act(builder, name, data)
    return builder


def test_builder__buttons__add_and_remove_conditions_and_groups() -> None:
    builder = read_builder(query(posted(COUNTRY, ORDERS)))
    actions(builder, "add:g1", g1="trait:email")
    assert [one.key for one in builder.groups[0].rows] == ["country", "Order Completed", "email"]
    assert builder.groups[0].rows[2].is_new

    actions(builder, "remove:g1:0", "remove:g1:9", "remove:g1:x", "add:g1", "add:nowhere", "dance:g1")
    assert [one.key for one in builder.groups[0].rows] == ["Order Completed", "email"]

    actions(builder, "remove-group:g1")
    assert len(builder.groups) == 1
    actions(builder, "add-group", "remove-group:g1")
    assert [group.rows for group in builder.groups] == [[]]


def test_builder__posted_nonsense__is_left_out() -> None:
    builder = read_builder(query(posted(COUNTRY, {**COUNTRY, "group": "nowhere"}, *[COUNTRY] * 80)))

    assert builder.rows_n == 60
    assert len(read_builder(QueryDict()).groups) == 1
    assert rule_of(new_builder(), reads.vocabulary()) == {"schema": 1, "root": {"all": []}}


@pytest.mark.parametrize(
    ("root", "groups"),
    [
        (GERMANS, [("all", 1)]),
        ({"not": GERMANS}, [("all", 1)]),
        ({"any": [GERMANS, {"all": [GERMANS]}]}, [("any", 1), ("all", 1)]),
        ({"all": [{"any": [GERMANS]}, {"all": []}]}, [("any", 1), ("all", 0)]),
        ({"all": [{"any": [{"all": [GERMANS]}]}]}, [("any", 0), ("all", 1)]),
        ({"not": {"all": [GERMANS]}}, [("not_all", 1)]),
        ({"event": "a", "op": "gte", "n": 1, "where": [{"property": "p", "op": "gt", "value": 1}]}, [("all", 1)]),
        (
            {"all": [{"any": [{"all": [{"any": [{"all": [GERMANS]}]}]}]}]},
            [("any", 0), ("all", 0), ("any", 0), ("all", 1)],
        ),
        ({"all": [{"any": [{"all": [{"any": [{"all": [{"any": [GERMANS]}]}]}]}]}]}, None),
        ({"any": [GERMANS, {"all": []}]}, None),
        ({"any": []}, None),
        ({"event": "a", "op": "gte", "n": 1, "where": [{"property": "p", "op": "in", "value": [1]}]}, None),
        ({"event": "a", "op": "gte", "n": 1, "where": [{"property": "p", "op": "eq", "value": 1}]}, None),
    ],
)
def test_builder_of__rule__is_shown_or_left_to_json(root: Any, groups: list[tuple[str, int]] | None) -> None:
    builder = builder_of({"schema": 1, "root": root})

    assert (None if builder is None else [(one.match, len(one.rows)) for one in builder.groups]) == groups


def test_builder_of__mixed_rule__means_the_same_as_before() -> None:
    make_profile(country="DE")
    make_profile(country="AT", language="de")
    make_profile(country="FR")
    root = {"any": [GERMANS, {"all": [{"trait": "language", "op": "eq", "value": "de"}]}]}
    builder = builder_of({"schema": 1, "root": root})
    assert builder is not None
    again = rule_of(builder, reads.vocabulary())

    assert reads.matching_ids(rule=again, at=NOW) == reads.matching_ids(rule={"schema": 1, "root": root}, at=NOW)


def test_segment_builder__button__answers_with_the_new_row_focused(marketer: Client) -> None:
    send(track("Order Completed", user="u1"))
    data = posted(COUNTRY, do="add:g1", new_g1="event:Order Completed")
    text = marketer.post(reverse("marketing:segment-builder"), data).content.decode()

    assert text.count('name="row_kind"') == 2
    focused = re.search(r'<select id="g1-1-negated"[^>]*data-focus', text)
    assert focused is not None
    # Each row posts each column once: otherwise the columns would not be aligned.
    for name in (*row(), "kind", "key"):
        assert text.count(f'name="row_{name}"') == 2, name


def test_segment_builder__every_kind_of_row__posts_each_column_once(marketer: Client) -> None:
    for kind, key in (("trait", "country"), ("event", "a"), ("segment", "s"), ("consent", "analytics"), ("sample", "")):
        data = posted(do="add:g1", new_g1=f"{kind}:{key}")
        text = marketer.post(reverse("marketing:segment-builder"), data).content.decode()
        assert {name: text.count(f'name="row_{name}"') for name in (*row(), "kind", "key")} == dict.fromkeys(
            (*row(), "kind", "key"), 1
        ), kind


def test_segment_count__as_typed__says_how_many_and_what_it_means(marketer: Client) -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    make_profile(country="AT")
    url = reverse("marketing:segment-count")
    text = marketer.post(url, posted(COUNTRY, ORDERS)).content.decode()
    assert "0.0 % of 3" in text
    assert "did Order Completed at least 2 times in the last 30 days" in text
    found = marketer.post(url, posted(COUNTRY)).content.decode()
    assert "33.3 % of 3" in found
    assert found.count("/profiles/") == 1

    assert "Fill in the conditions" in marketer.post(url, posted({**COUNTRY, "value": ""})).content.decode()
    assert "there is no segment" in marketer.post(url, posted(row(kind="segment", key="x"))).content.decode()
    raw = json.dumps({"schema": 1, "root": GERMANS})
    assert "33.3 % of 3" in marketer.post(url, {"rule_json": raw}).content.decode()
    for broken in ("{", "[" * 100_000):
        assert "The rule is not JSON." in marketer.post(url, {"rule_json": broken}).content.decode()


def test_edit__another_rule__is_a_new_version(marketer: Client) -> None:
    make_profile(country="AT")
    segment = make_segment({"all": [GERMANS]}, slug="seg")
    url = reverse("marketing:segment-edit", args=["seg"])
    assert 'value="DE"' in marketer.get(url).content.decode()
    marketer.post(url, posted({**COUNTRY, "value": "AT"}, name="Austrians", description="text"))

    segment.refresh_from_db()
    assert (segment.name, segment.description, segment.members_n) == ("Austrians", "text", 1)
    assert segment.version is not None
    assert segment.version.number == 2
    assert "Version 2" in marketer.get(segment.get_absolute_url()).content.decode()


def test_edit__what_cannot_be__is_refused_with_the_reason(marketer: Client) -> None:
    make_segment({"all": []}, slug="seg")
    make_segment({"in_segment": "seg"}, slug="user")
    url = reverse("marketing:segment-edit", args=["seg"])

    circle = marketer.post(url, posted(row(kind="segment", key="user"), name="x")).content.decode()
    assert "would depend on itself" in circle
    assert marketer.post(url, posted(COUNTRY)).status_code == 200
    assert "A value is missing." in marketer.post(url, posted({**COUNTRY, "value": ""}, name="x")).content.decode()


def test_edit__deep_rule__is_edited_as_json(marketer: Client) -> None:
    deep: dict[str, Any] = {"not": {"all": [GERMANS, {"any": [{"all": [{"any": [{"all": [GERMANS]}]}]}]}]}}
    segment = make_segment(deep, slug="deep")
    url = reverse("marketing:segment-edit", args=["deep"])
    assert 'name="rule_json"' in marketer.get(url).content.decode()

    assert "not JSON" in marketer.post(url, {"name": "x", "rule_json": "{"}).content.decode()
    assert "a rule must be" in marketer.post(url, {"name": "x", "rule_json": "{}"}).content.decode()
    marketer.post(url, {"name": "x", "rule_json": json.dumps({"schema": 1, "root": GERMANS})})
    segment.refresh_from_db()
    assert segment.version is not None
    assert segment.version.rule["root"] == GERMANS


def test_list__segments__with_rule_in_words_and_few_queries(
    marketer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    assert "No segments yet" in marketer.get(reverse("marketing:segment-list")).content.decode()
    for number in range(8):
        make_segment({"all": [GERMANS, {"any": [GERMANS]}]}, slug=f"s{number}")
    failed = make_segment({"all": []}, slug="failed")
    record_failure(segment_id=failed.pk, reason="x", at=NOW)
    with django_assert_max_num_queries(9):
        text = marketer.get(reverse("marketing:segment-list")).content.decode()

    assert "country is DE" in text
    assert "refresh failed" in text


def test_detail__members_and_history__in_few_queries(
    marketer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        make_profile(user_id=f"u{number}", country="DE", email=f"p{number}@example.org")
    segment = make_segment({"all": [GERMANS]}, slug="seg")
    refresh_segment(segment_id=segment.pk, at=NOW)
    with django_assert_max_num_queries(13):
        text = marketer.get(segment.get_absolute_url()).content.decode()

    assert "60 members" in text
    assert "entered:" in text
    assert text.count(">Why?<") == 50
    assert "p0@example.org" in marketer.get(f"{segment.get_absolute_url()}?page=2").content.decode()
    record_failure(segment_id=segment.pk, reason="disk full", at=NOW)
    assert "disk full" in marketer.get(segment.get_absolute_url()).content.decode()
    assert marketer.get(reverse("marketing:segment-detail", args=["none"])).status_code == 404


def test_overlap__other_segments_of_the_members__are_listed(marketer: Client) -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    for slug, root in (("everybody", {"all": []}), ("germans", GERMANS)):
        refresh_segment(segment_id=make_segment(root, slug=slug).pk, at=NOW)
    make_segment({"all": []}, slug="empty")

    text = marketer.get(reverse("marketing:segment-overlap", args=["everybody"])).content.decode()
    assert "germans" in text
    assert "1 shared members, 50.0 % of this segment" in text
    assert "no other segment" in marketer.get(reverse("marketing:segment-overlap", args=["empty"])).content.decode()


def test_refresh_and_archive__do_what_they_say(marketer: Client) -> None:
    make_profile(country="DE")
    segment = make_segment({"all": []}, slug="seg")
    assert "have not been counted yet" in marketer.get(segment.get_absolute_url()).content.decode()
    marketer.post(reverse("marketing:segment-refresh", args=["seg"]))
    assert Membership.objects.count() == 1

    user = make_segment({"in_segment": "seg"}, slug="user")
    url = reverse("marketing:segment-archive", args=["seg"])
    assert "Archive" in marketer.get(url).content.decode()
    assert "is used by user" in marketer.post(url, follow=True).content.decode()
    marketer.post(reverse("marketing:segment-archive", args=["user"]))
    marketer.post(url)
    assert set(Segment.objects.filter(archived_at=None)) == set()
    assert "archived" in marketer.get(user.get_absolute_url()).content.decode()


def test_why__member_and_stranger__see_what_decided(marketer: Client) -> None:
    german = make_profile(user_id="a", country="DE")
    stranger = make_profile(user_id="b")
    send(track("Order Completed", user="a", at=NOW - timedelta(days=1), revenue=5))
    segment = make_segment(
        {
            "all": [
                GERMANS,
                {"event": "Order Completed", "op": "gte", "n": 1},
                {"event": "Order Completed", "op": "gte", "n": 2, "measure": "sum"},
            ]
        },
        slug="seg",
    )
    url = reverse("marketing:segment-why", args=["seg", str(german.public_id)])
    before = marketer.get(url).content.decode()
    refresh_segment(segment_id=segment.pk, at=NOW)
    text = marketer.get(url).content.decode()
    other = marketer.get(reverse("marketing:segment-why", args=["seg", str(stranger.public_id)])).content.decode()

    assert "do not include this person yet" in before
    assert "do not include this person yet" not in text
    assert "found: DE" in text
    assert "✓" in text
    assert "Not in" in other
    assert "found: not known" in other
    Segment.objects.filter(pk=segment.pk).update(version=None)
    assert marketer.get(url).status_code == 404
