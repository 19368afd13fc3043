"""Segments, profiles, campaigns and keys through the management API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.services.metrics import ensure_builtin_metrics
from marketing import tasks
from marketing.api.drafts import DraftChange
from marketing.choices import KeyScope, SourceKind, TraitType
from marketing.models import Campaign, Profile, WriteKey
from marketing.services.profiles import declare_trait
from marketing.services.segments import refresh_segment
from marketing.services.sources import ensure_source, issue_key
from tests.factories.campaigns import make_campaign, make_catalogue
from tests.factories.marketing import NOW, make_profile, make_segment, send, track
from tests.webapi.conftest import Api, make_api

pytestmark = pytest.mark.django_db
EVERYBODY: dict[str, Any] = {"schema": 1, "root": {"all": []}}
GERMANS: dict[str, Any] = {"schema": 1, "root": {"trait": "country", "op": "eq", "value": "DE"}}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The segments that the worker was asked to refresh."""
    found: list[int] = []
    monkeypatch.setattr("marketing.tasks.refresh_segment.delay", found.append)
    return found


def test_segment__made_changed_and_archived__keeps_its_versions(
    api: Api, asked: list[int], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = api.post("segments/", {"name": "Everybody", "rule": EVERYBODY})
    assert (made.status_code, made.json()["version"], len(asked)) == (201, 1, 1)
    slug = made.json()["slug"]
    assert made["Location"].endswith(f"/segments/{slug}/")
    changed = api.patch(f"segments/{slug}/", {"rule": GERMANS, "name": "Germans"}).json()
    assert (changed["version"], changed["name"], changed["rule"]) == (2, "Germans", GERMANS)
    assert api.patch(f"segments/{slug}/", {"description": "x"}).json()["version"] == 2
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post(f"segments/{slug}/refresh/").status_code == 202
    assert len(asked) == 2
    assert api.post(f"segments/{slug}/archive/").json()["archived_at"]
    assert api.get("segments/").json()["results"] == []
    assert [row["slug"] for row in api.get("segments/?with_archived=true").json()["results"]] == [slug]
    assert api.patch(f"segments/{slug}/", {"name": "Late"}).status_code == 409


def test_segment__counted_before_it_is_stored__says_how_many(api: Api) -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    counted = api.post("segments/count/", {"rule": GERMANS}).json()
    assert counted == {"people": 1, "everybody": 2, "percent": 50.0, "is_sampled": False}
    wrong = api.post("segments/count/", {"rule": {"root": {"trait": "shoe size", "op": "eq", "value": 1}}})
    assert (wrong.status_code, wrong["Content-Type"]) == (422, "application/problem+json")


def test_segment__members_page_by_page__are_there_once(api: Api) -> None:
    people = {str(make_profile().public_id) for _ in range(5)}
    segment = make_segment({"all": []}, slug="all")
    refresh_segment(segment_id=segment.pk, at=NOW)
    seen, path = [], "segments/all/members/?limit=2"
    while path:
        page = api.get(path).json()
        seen += [row["profile"] for row in page["results"]]
        path = page["next"]
    assert (len(seen), set(seen)) == (5, people)


def test_profile__found_and_shown__with_everything_about_it(api: Api) -> None:
    declare_trait(key="tier", name="Tier", type_=TraitType.TEXT)
    profile = make_profile(user_id="anna", country="DE")
    send(track("Order Completed", user="anna", revenue=49.9, currency="EUR", order_id="A-1"))
    make_profile(user_id="berta")
    (row,) = api.get("profiles/?identity=anna&identity_kind=user_id").json()["results"]
    assert (row["id"], row["country"]) == (str(profile.public_id), "DE")
    assert [one["id"] for one in api.get("profiles/?identity=anna").json()["results"]] == [row["id"]]

    said = api.patch(f"profiles/{row['id']}/traits/", {"traits": {"tier": "gold", "language": "de", "shoes": 43}})
    assert said.json()["ignored"] == ["shoes"]
    shown = api.get(f"profiles/{row['id']}/").json()
    assert (shown["language"], [(one["key"], one["value"]) for one in shown["traits"]]) == ("de", [("tier", "gold")])
    assert shown["identities"] == [{"kind": "user_id", "value": "anna"}]
    (event,) = api.get(f"profiles/{row['id']}/events/").json()["results"]
    assert (event["event"], event["value"], event["order_id"]) == ("Order Completed", 49_900_000, "A-1")


def test_profile__too_many_traits_at_once__is_400(api: Api) -> None:
    profile = make_profile()
    answer = api.patch(f"profiles/{profile.public_id}/traits/", {"traits": {f"t{n}": 1 for n in range(201)}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/traits")


def test_profile__newest_first__in_pages(api: Api) -> None:
    for _ in range(3):
        make_profile()
    page = api.get("profiles/?limit=2").json()
    rest = api.get(page["next"]).json()
    ids = [row["id"] for row in page["results"] + rest["results"]]
    assert ids == [str(one) for one in Profile.objects.order_by("-pk").values_list("public_id", flat=True)]


def test_campaign__paused_and_finished__is_in_the_log(api: Api) -> None:
    make_catalogue()
    make_campaign(status="running", slug="hero")
    assert api.get("campaigns/hero/").json()["arms"][0]["key"] == "control"
    assert [row["slug"] for row in api.get("campaigns/?status=running").json()["results"]] == ["hero"]
    assert api.post("campaigns/hero/transitions/pause/", {"message": "Stock"}).json()["status"] == "paused"
    again = api.post("campaigns/hero/transitions/pause/", {})
    assert (again.status_code, len(again.json()["errors"])) == (409, 1)
    assert api.post("campaigns/hero/transitions/finish/", {}).json()["transitions"] == ["archive"]
    log = api.get("changes/marketing/?campaign=hero").json()["results"]
    assert [(row["transition"], row["actor"], row["message"]) for row in log][:2] == [
        ("finish", api.user.username, ""), ("pause", api.user.username, "Stock")
    ]  # fmt: skip


def test_key__made__is_shown_once_and_works_until_it_is_revoked(api: Api) -> None:
    assert api.post("sources/", {"name": "crm"}).json()["kind"] == "server"
    made = api.post("sources/crm/keys/", {"scopes": ["read"], "rate_limit": 600})
    assert (made.status_code, made.json()["acts_for"]) == (201, api.user.username)
    secret = made.json()["secret"]
    assert secret not in str(api.get("sources/crm/keys/").json())
    program = Api(api.user, secret)
    assert program.get("segments/").status_code == 200
    assert WriteKey.objects.get(pk=made.json()["id"]).last_used_at is not None
    assert api.post(f"sources/crm/keys/{made.json()['id']}/revoke/").json()["revoked_at"]
    assert program.get("segments/").status_code == 401


def test_key__that_sends_events__acts_for_nobody_and_reads_nothing(api: Api) -> None:
    ensure_source(name="page", kind=SourceKind.BROWSER, at=NOW)
    made = api.post("sources/page/keys/", {"scopes": [KeyScope.WRITE, KeyScope.DECIDE]}).json()
    assert made["acts_for"] is None
    assert Api(api.user, made["secret"]).get("segments/").status_code == 401
    refused = api.post("sources/page/keys/", {"scopes": ["manage"]})
    assert (refused.status_code, refused.json()["type"]) == (422, "/api/v1/docs/#refused")


def test_key__of_somebody_who_left__is_refused(db: None) -> None:
    api = make_api(role="analyst")
    assert api.get("experiments/").status_code == 200
    api.user.is_active = False
    api.user.save()
    assert api.get("experiments/").status_code == 401


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("segments/nothing/", "GET"),
        ("segments/nothing/members/", "GET"),
        ("profiles/nothing/", "GET"),
        ("campaigns/nothing/", "GET"),
        ("campaigns/nothing/transitions/pause/", "POST"),
        ("changes/marketing/?campaign=nothing", "GET"),
        ("campaigns/nothing/transitions/fly/", "POST"),
        ("sources/nothing/keys/", "GET"),
        ("sources/program/keys/0/revoke/", "POST"),
    ],
)
def test_unknown__of_any_kind__is_404_and_named(api: Api, path: str, method: str) -> None:
    answer = api.ask(method, path, {} if method == "POST" else None)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(("There is no", "The source"))


ARMS: list[dict[str, Any]] = [
    {"key": "control", "name": "Usual", "is_control": True, "percent": 50, "headline": "New in the shop"},
    {"key": "picks", "name": "Picks", "percent": 50, "headline": "For you", "strategy": "popularity", "link": "/shop/"},
]


def test_campaign__drafted_changed_and_launched__by_a_program(api: Api) -> None:
    make_catalogue()
    ensure_builtin_metrics()
    segment = make_segment({"all": []}, slug="all")
    body = {"name": "Home hero", "goal_metric": "conversion", "segment": segment.slug, "arms": ARMS}
    made = api.post("campaigns/", body)
    assert (made.status_code, made.json()["status"], made.json()["slug"]) == (201, "draft", "home-hero")
    assert made["Location"].endswith("/campaigns/home-hero/")
    words = [{"language": "de", "headline": "Für dich"}]
    changes = {"mde": 0.5, "baseline": 0.2, "segment": None, "arms": [ARMS[0], ARMS[1] | {"translations": words}]}
    changed = api.patch("campaigns/home-hero/", changes).json()
    assert (changed["mde"], changed["segment"], changed["goal_metric"]) == (0.5, None, "conversion")
    assert changed["arms"][1]["translations"][0]["headline"] == "Für dich"
    assert all(row["is_done"] for row in api.get("campaigns/home-hero/checklist/").json())
    assert [row["transition"] for row in api.get("changes/marketing/?campaign=home-hero").json()["results"]] == [
        "revise",
        "create",
    ]


def test_campaign__that_is_shown__can_be_sent_back_as_a_change(api: Api) -> None:
    make_campaign(status="draft", slug="own")
    shown = api.get("campaigns/own/").json()
    body = {name: value for name, value in shown.items() if name in DraftChange().fields}
    assert set(DraftChange().fields) == set(body)
    again = api.patch("campaigns/own/", body)
    assert (again.status_code, again.json()) == (200, shown)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"segment": "nope"}, "no segment 'nope'"),
        ({"sender": "nobody@shop.example"}, "no sender 'nobody@shop.example'"),
        ({"goal_metric": "nope"}, "no metric 'nope'"),
        ({"arms": [ARMS[0], ARMS[1] | {"strategy": "nope"}]}, "no strategy 'nope'"),
        ({"arms": [ARMS[0], ARMS[1] | {"link": "javascript:alert(1)"}]}, "web address"),
        ({"arms": [ARMS[0], ARMS[0]]}, "same key"),
        ({"starts_at": "2026-12-02T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}, "after the start"),
        ({"cadence": "recurring"}, "number of days"),
        ({"slug": "new"}, "address beside"),
    ],
)
def test_campaign__drafted_with_what_is_not_there__is_422(api: Api, wrong: dict[str, Any], said: str) -> None:
    make_catalogue()
    ensure_builtin_metrics()
    answer = api.post("campaigns/", {"name": "X", "goal_metric": "conversion", "arms": ARMS} | wrong)
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.json()
    assert not Campaign.objects.exists()


def test_campaign__launched_or_made_twice__cannot_be_drafted_again(api: Api) -> None:
    make_campaign(status="running", slug="live")
    assert api.patch("campaigns/live/", {"name": "Other"}).status_code == 409
    body = {"name": "X", "slug": "live", "goal_metric": "conversion", "arms": ARMS}
    assert api.post("campaigns/", body).status_code == 422
    once = [api.post("campaigns/", body | {"slug": "own"}, **{"Idempotency-Key": "a"}).json() for _ in range(2)]
    assert once[0] == once[1]


def test_segment__for_marketing__says_so_and_can_be_changed(api: Api) -> None:
    made = api.post("segments/", {"name": "Germans", "rule": GERMANS, "is_marketing": True}).json()
    assert (made["is_marketing"], made["is_list"]) == (True, False)
    assert api.patch(f"segments/{made['slug']}/", {"is_marketing": False}).json()["is_marketing"] is False
    assert api.post(f"segments/{made['slug']}/archive/").json()["archived_at"]
    assert api.post(f"segments/{made['slug']}/restore/").json()["archived_at"] is None


def test_list__filled_by_a_program__has_members_and_counts(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr("marketing.tasks.import_list.delay", tasks.import_list)
    for name in ("anna", "berta"):
        make_profile(user_id=name)
    slug = api.post("segments/lists/", {"name": "Guests"}).json()["slug"]
    with django_capture_on_commit_callbacks(execute=True):
        asked = api.post(f"segments/{slug}/imports/", {"values": ["anna", "berta", "=nobody()", "a\nb"]})
    assert asked.status_code == 202
    with django_capture_on_commit_callbacks(execute=True):
        api.post(f"segments/{slug}/imports/", {"mode": "remove", "values": ["berta"]})
    assert (api.get(f"segments/{slug}/").json()["members_n"], api.get(f"segments/{slug}/").json()["is_list"]) == (
        1,
        True,
    )
    rows = api.get(f"segments/{slug}/imports/?ordering=started_at").json()["results"]
    assert [(row["mode"], row["rows"], row["accepted"], row["rejected"]) for row in rows] == [
        ("add", 4, 2, 2),
        ("remove", 1, 1, 0),
    ]
    export = api.post(f"segments/{slug}/export/")
    lines = b"".join(export.streaming_content).decode().splitlines()
    assert export["Content-Type"] == "text/csv; charset=utf-8"
    assert (lines[0].split(",")[:2], lines[1].split(",")[1], len(lines)) == (["profile", "user_id"], "anna", 2)
    log = api.get("changes/marketing/").json()["results"]
    assert log[0]["transition"] == "export"


def test_list__whose_members_come_from_a_rule__takes_none(api: Api) -> None:
    make_segment({"all": []}, slug="all")
    assert api.post("segments/all/imports/", {"values": ["anna"]}).status_code == 409
    assert api.post("segments/all/imports/", {"values": []}).status_code == 400


def test_key__rotated__has_the_same_rights_and_the_old_one_an_end(api: Api) -> None:
    source = ensure_source(name="shop", kind=SourceKind.SERVER, at=NOW)
    old, _ = issue_key(source=source, scopes=[KeyScope.WRITE], at=NOW, quota=1_000)
    made = api.post(f"sources/shop/keys/{old.pk}/rotate/", {"overlap_hours": 1})
    assert (made.status_code, made.json()["quota"], made.json()["scopes"]) == (201, 1_000, ["write"])
    assert made.json()["secret"].startswith("hk_")
    rows = {row["id"]: row for row in api.get("sources/shop/keys/").json()["results"]}
    assert rows[old.pk]["expires_at"]
    assert rows[made.json()["id"]]["expires_at"] is None
    assert "secret" not in rows[old.pk]
    assert api.post("sources/shop/keys/0/rotate/", {}).status_code == 404
    assert api.post(f"sources/shop/keys/{old.pk}/revoke/").status_code == 200
    assert api.post(f"sources/shop/keys/{old.pk}/rotate/", {}).status_code == 422
