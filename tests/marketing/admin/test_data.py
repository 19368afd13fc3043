"""People, events, consent and segments in the admin: quick lists, actions that call services."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketing import tasks
from marketing.admin.base import MOST_COUNTED, CappedPaginator, RecordAdmin
from marketing.choices import MergeReason, SourceKind, TraitType
from marketing.models import (
    DeadLetter,
    Event,
    Identity,
    KeyUsage,
    Membership,
    Merge,
    Profile,
    Segment,
    Source,
    TraitDefinition,
    WriteKey,
)
from marketing.services.identity import merge
from marketing.services.profiles import declare_trait
from marketing.services.segments import refresh_segment
from marketing.services.sources import issue_key, revoke_key
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, make_source, send, track

pytestmark = pytest.mark.django_db
RECORD = [
    model._meta.model_name
    for model, site in admin.site._registry.items()
    if model._meta.app_label == "marketing" and isinstance(site, RecordAdmin)
]


def address(model: str | None, page: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:marketing_{model}_{page}", args=arguments)


def act(client: Client, model: str, name: str, *keys: int) -> str:
    data = {"action": name, "_selected_action": list(keys)}
    return client.post(address(model), data, follow=True).content.decode()


@pytest.fixture
def world() -> Profile:
    """A row in most tables."""
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    profile = make_profile(user_id="u1", email="ann@example.org", plan="gold")
    loser = make_profile(user_id="u2")
    merge(winner_id=profile.pk, loser_id=loser.pk, reason=MergeReason.MANUAL, at=NOW)
    make_profile(user_id="bob")
    send(*(track("Order Completed", user=user, revenue=5) for user in ("u1", "u2", "bob") for _ in range(5)))
    send(track("", user="u1"))
    give_consent(profile)
    refresh_segment(segment_id=make_segment({"all": []}, slug="everybody").pk, at=NOW)
    issue_key(source=make_source(), scopes=["collect"], at=NOW)
    return profile


@pytest.mark.parametrize("model", RECORD)
def test_admin__every_list_of_the_record__is_shown_in_few_queries_and_cannot_be_written(
    admin_client: Client, world: Profile, model: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(10):
        answer = admin_client.get(address(model), {"q": "u1"} if model != "importrun" else {})
    assert answer.status_code == 200
    assert admin_client.get(address(model, "add")).status_code == 403
    assert admin_client.get(address(model)).status_code == 200


def test_admin__search__finds_one_person_exactly(admin_client: Client, world: Profile) -> None:
    assert str(world.public_id) in admin_client.get(address("profile"), {"q": "Ann@Example.org"}).content.decode()
    assert str(world.public_id) not in admin_client.get(address("profile"), {"q": "ann"}).content.decode()
    found = admin_client.get(address("event"), {"q": "u2"}).content.decode()
    assert found.count('class="field-pk"') == Event.objects.filter(profile=world).count() == 10


def test_admin__one_person__shows_identities_traits_and_consents(admin_client: Client, world: Profile) -> None:
    text = admin_client.get(address("profile", "change", world.pk)).content.decode()
    for expected in ("u1", "gold", "marketing e-mail", "Order Completed"):
        assert expected in text


def test_admin__undo__takes_people_apart_and_says_why_not(admin_client: Client, world: Profile) -> None:
    row = Merge.objects.get()
    act(admin_client, "merge", "undo", row.pk)
    row.refresh_from_db()
    assert row.undone_at is not None
    assert "already been undone" in act(admin_client, "merge", "undo", row.pk)


def test_admin__shared_device__is_split_off_and_an_only_identity_stays(admin_client: Client, world: Profile) -> None:
    moved = Identity.objects.get(value="u2")
    act(admin_client, "identity", "split", moved.pk)
    moved.refresh_from_db()
    assert moved.profile_id != world.pk
    assert "only identity" in act(admin_client, "identity", "split", moved.pk)


def test_admin__trait__is_declared_and_keeps_its_type(admin_client: Client) -> None:
    data = {
        "key": "plan",
        "name": "Plan",
        "type": "text",
        "sensitivity": "normal",
        "conflict": "newest",
        "allowed_values": "[]",
    }
    admin_client.post(address("traitdefinition", "add"), data)
    trait = TraitDefinition.objects.get()
    changed = {**data, "type": "number", "name": "Tariff"}
    admin_client.post(address("traitdefinition", "change", trait.pk), changed)

    trait.refresh_from_db()
    assert (trait.name, trait.type) == ("Tariff", "text")


def test_admin__source_and_key__are_made_shown_once_and_revoked(admin_client: Client) -> None:
    admin_client.post(address("source", "add"), {"name": "shop", "kind": SourceKind.BROWSER, "rank": 0})
    source = Source.objects.get()
    admin_client.post(address("source", "change", source.pk), {"name": "store", "kind": SourceKind.BROWSER, "rank": 1})
    data = {"action": "issue", "_selected_action": [source.pk]}
    answer = admin_client.post(address("source"), data)
    key = WriteKey.objects.get()

    assert "no-store" in answer.headers["Cache-Control"]
    assert key.prefix in answer.content.decode()
    assert key.source.name == "store"
    assert key.sha256 not in admin_client.get(address("writekey", "change", key.pk)).content.decode()
    assert "1 key revoked." in act(admin_client, "writekey", "revoke", key.pk)


def test_admin__key__works_is_limited_counted_and_replaced(admin_client: Client) -> None:
    source = make_source()
    data = {"action": "issue_for_clients", "_selected_action": [source.pk]}
    assert admin_client.post(address("source"), data).status_code == 200
    key = WriteKey.objects.get()
    admin_client.post(address("writekey", "change", key.pk), {"rate_limit": "60", "quota": "5000"})
    KeyUsage.objects.create(key=key, day=timezone.now().date(), n=1234)
    key.refresh_from_db()
    assert (key.scopes, key.rate_limit, key.quota) == (["write", "decide"], 60, 5000)
    shown = admin_client.get(address("writekey")).content.decode()
    assert "send events, ask for arms" in shown
    assert "1234" in shown

    new_secret = act(admin_client, "writekey", "rotate", key.pk)
    new = WriteKey.objects.exclude(pk=key.pk).get()
    key.refresh_from_db()
    assert f"<code>{new.prefix}" in new_secret
    assert key.expires_at is not None
    revoke_key(key_id=key.pk, at=timezone.now())
    assert "no longer in force" in act(admin_client, "writekey", "rotate", key.pk)


def test_admin__dead_letter__is_tried_again(admin_client: Client, world: Profile) -> None:
    assert "0 stored, 1 still cannot be." in act(admin_client, "deadletter", "try_again", DeadLetter.objects.get().pk)


def test_admin__segment__is_refreshed_by_the_worker_and_archived(
    admin_client: Client, world: Profile, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    segment = Segment.objects.get()
    asked: list[int] = []
    monkeypatch.setattr(tasks.refresh_segment, "delay", asked.append)
    with django_capture_on_commit_callbacks(execute=True):
        assert "1 segment is being refreshed." in act(admin_client, "segment", "refresh", segment.pk)
    assert asked == [segment.pk]

    user = make_segment({"in_segment": "everybody"}, slug="user")
    assert "is used by user" in act(admin_client, "segment", "archive", segment.pk)
    act(admin_client, "segment", "archive", segment.pk, user.pk)
    assert not Segment.objects.filter(archived_at=None).exists()
    assert Membership.objects.exists()


def test_admin__staff_without_the_right__is_offered_no_action(client: Client, world: Profile) -> None:
    clerk = make_user(role="analyst", is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=("view_merge", "view_writekey", "view_segment", "view_source"))
    )
    client.force_login(clerk)
    for model, action in (("merge", "undo"), ("writekey", "revoke"), ("segment", "archive"), ("source", "issue")):
        assert f'value="{action}"' not in client.get(address(model)).content.decode()


def test_capped_paginator__huge_table__stops_counting() -> None:
    class Rows:
        """A table that says how many of its rows were asked for."""

        ordered = True

        def __getitem__(self, part: slice) -> Rows:
            self.asked = part.stop
            return self

        def count(self) -> int:
            return int(self.asked)

    assert CappedPaginator(Rows(), 50).count == MOST_COUNTED  # type: ignore[arg-type]  # a stand-in for a query set
