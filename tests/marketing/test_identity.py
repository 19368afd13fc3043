"""Anonymous people become known, one person's profiles are joined, two people's never are, and joins can be undone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketing.choices import IdentityKind, MergeReason, Purpose, SourceKind, TraitType
from marketing.errors import CannotMerge
from marketing.models import (
    Activity,
    Consent,
    Event,
    Identity,
    Membership,
    MembershipEvent,
    Merge,
    Profile,
    ProfileAlias,
    ProfileTrait,
)
from marketing.segmentation.clock import to_micros
from marketing.services import resolution
from marketing.services.identity import merge, split_identity, undo_merge
from marketing.services.profiles import create_profile, declare_trait, set_traits
from marketing.services.segments import refresh_segment
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, make_source, send, track

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def owner(kind: str, value: str) -> Profile:
    return Identity.objects.select_related("profile").get(kind=kind, value=value).profile


def identify(user: str, visitor: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "identify", "messageId": f"{user}-{visitor}", "userId": user, "anonymousId": visitor, **more}


def test_sign_in__unknown_user__joins_the_visitors_profile() -> None:
    send(track("Product Viewed", visitor="v1"))
    send(identify("u1", "v1"))
    send(track("Order Completed", user="u1"))

    assert owner("anonymous", "v1") == owner("user_id", "u1")
    assert Profile.objects.count() == 1
    assert set(Event.objects.values_list("profile_id", flat=True)) == {owner("user_id", "u1").pk}
    assert not Merge.objects.exists()


def test_sign_in__known_user_on_a_new_device__merges_the_visitor_into_the_user() -> None:
    user = make_profile(user_id="u1")
    send(track("Product Viewed", visitor="v1", at=NOW - DAY))
    visitor = owner("anonymous", "v1")
    result = send(track("Order Completed", user="u1", visitor="v1"))

    assert result.profiles_merged == 1
    assert owner("anonymous", "v1") == user
    assert set(Event.objects.values_list("profile_id", flat=True)) == {user.pk}
    visitor.refresh_from_db()
    assert visitor.merged_into == user
    assert Merge.objects.get().reason == MergeReason.SIGN_IN
    assert list(Profile.objects.living()) == [user]


def test_sign_in__other_persons_device__stays_two_people() -> None:
    send(identify("u1", "v1"))
    send(track("Order Completed", user="u2", visitor="v1"))
    send(identify("u2", "v1"))

    assert owner("user_id", "u1") != owner("user_id", "u2")
    assert owner("anonymous", "v1") == owner("user_id", "u1")
    assert Event.objects.get().profile == owner("user_id", "u2")
    assert not Merge.objects.exists()


def test_sign_in__everything_in_one_batch__is_the_same_person() -> None:
    send(
        track("Product Viewed", visitor="v1"),
        track("Product Viewed", visitor="v2"),
        track("Product Viewed", user="u1"),
        track("Product Viewed", user="u1", visitor="v1"),
        track("Product Viewed", user="u1", visitor="v2"),
        track("Product Viewed", user="u2", visitor="v2"),
    )

    assert Profile.objects.count() == 2
    assert owner("anonymous", "v1") == owner("anonymous", "v2") == owner("user_id", "u1")
    assert Event.objects.filter(profile=owner("user_id", "u1")).count() == 5


def test_sign_in__chain_of_known_profiles_in_one_batch__ends_in_one() -> None:
    for visitor in ("v1", "v2", "v3"):
        send(track("Product Viewed", visitor=visitor))
    send(
        track("Product Viewed", user="u1", visitor="v1"),
        track("Product Viewed", user="u1", visitor="v2"),
        track("Product Viewed", user="u1", visitor="v3"),
    )

    assert Profile.objects.living().count() == 1
    assert Merge.objects.count() == 2
    assert set(ProfileAlias.objects.values_list("winner_id", flat=True)) == {owner("user_id", "u1").pk}


def test_alias__visitor__joins_and_renaming_a_user_needs_a_trusted_source() -> None:
    send(track("Product Viewed", visitor="v1"), track("Product Viewed", user="old"), track("Product Viewed", user="u1"))

    def alias(number: int, previous: str) -> dict[str, Any]:
        return {"type": "alias", "messageId": str(number), "userId": "u1", "previousId": previous}

    browser = make_source("web", SourceKind.BROWSER)
    send(alias(1, "old"), source=browser)
    assert owner("user_id", "old") != owner("user_id", "u1")
    assert owner("anonymous", "old") == owner("user_id", "u1")  # for a browser it is some visitor's id
    Identity.objects.filter(kind="anonymous", value="old").delete()

    send(alias(2, "v1"), alias(3, "old"), alias(4, "new"))
    assert owner("anonymous", "v1") == owner("user_id", "old") == owner("anonymous", "new") == owner("user_id", "u1")
    assert set(Merge.objects.values_list("reason", flat=True)) == {MergeReason.ALIAS}


def test_identities_in_the_context__of_one_person__are_joined_unless_they_conflict() -> None:
    def imported(number: int, **identities: str) -> dict[str, Any]:
        listed = [{"kind": kind, "value": value} for kind, value in identities.items()]
        return {"type": "identify", "messageId": str(number), "context": {"identities": listed}}

    send(imported(1, crm="c1", email="Ann@Example.org"))
    send(imported(2, user_id="u1", email="ann@example.org"))
    assert owner("crm", "c1") == owner("user_id", "u1") == owner("email", "ann@example.org")

    send(imported(3, user_id="u2", email="ann@example.org"))
    assert owner("user_id", "u2") != owner("user_id", "u1")
    assert owner("email", "ann@example.org") == owner("user_id", "u1")
    bad = send({"type": "identify", "messageId": "4", "context": {"identities": ["x"]}})
    assert bad.rejected == [(0, "context.identity needs a known kind and a value")]


def _two_people() -> tuple[Profile, Profile]:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    declare_trait(key="city", name="City", type_=TraitType.TEXT)
    winner = make_profile(user_id="w", country="DE", plan="old", at=NOW - 9 * DAY)
    loser = create_profile(
        identities=[(IdentityKind.ANONYMOUS, "l")],
        traits={"country": "AT", "language": "de", "birth_year": 1980, "plan": "new", "city": "Wien"},
        at=NOW - 5 * DAY,
    )
    send(
        track("Order Completed", user="w", at=NOW - 3 * DAY, revenue=10),
        track("Order Completed", visitor="l", at=NOW - 4 * DAY, revenue=5),
        track("Product Viewed", visitor="l", at=NOW - 2 * DAY),
    )
    give_consent(winner, granted=False, at=NOW - 3 * DAY)
    give_consent(loser, at=NOW - 2 * DAY)
    give_consent(loser, Purpose.ANALYTICS, at=NOW - 2 * DAY)
    for profile in (winner, loser):
        profile.refresh_from_db()
    return winner, loser


def _state(profile: Profile) -> dict[str, Any]:
    """Everything that a merge touches, for comparing before and after."""
    fields = [field.attname for field in Profile._meta.concrete_fields if field.attname != "public_id"]
    return {
        "profile": Profile.objects.filter(pk=profile.pk).values(*fields).get(),
        "identities": sorted(Identity.objects.filter(profile=profile).values_list("kind", "value")),
        "events": sorted(Event.objects.filter(profile=profile).values_list("message_id", flat=True)),
        "activity": sorted(
            Activity.objects.filter(profile=profile).values_list("type", "n", "first_at", "last_at", "total")
        ),
        "traits": sorted(ProfileTrait.objects.filter(profile=profile).values_list("definition", "text", "at")),
        "consents": sorted(Consent.objects.filter(profile=profile).values_list("purpose", "granted", "at")),
    }


def test_merge__two_profiles__everything_is_the_winners() -> None:
    winner, loser = _two_people()
    segment = make_segment({"all": []})
    refresh_segment(segment_id=segment.pk, at=NOW)
    merge(winner_id=winner.pk, loser_id=loser.pk, reason=MergeReason.MANUAL, at=NOW)

    winner.refresh_from_db()
    assert (winner.country, winner.language, winner.birth_year) == ("DE", "de", 1980)
    assert (winner.orders_n, winner.revenue) == (2, 15_000_000)
    assert (winner.first_seen_at, winner.last_seen_at) == (to_micros(NOW - 4 * DAY), to_micros(NOW - 2 * DAY))
    assert winner.marketing_ok
    traits = dict(ProfileTrait.objects.filter(profile=winner).values_list("definition__key", "text"))
    assert traits == {"plan": "new", "city": "Wien"}
    state = _state(winner)
    assert state["identities"] == [("anonymous", "l"), ("user_id", "w")]
    assert len(state["events"]) == len(state["consents"]) == 3
    orders = Activity.objects.get(profile=winner, type__name="Order Completed")
    assert (orders.n, orders.total) == (2, 15_000_000)
    assert _state(loser)["events"] == _state(loser)["consents"] == _state(loser)["activity"] == []
    assert list(Membership.objects.values_list("profile_id", flat=True)) == [winner.pk]
    assert MembershipEvent.objects.filter(profile=loser, change=-1, cause="merge").count() == 1


def test_undo_merge__restores_both_and_later_events_go_with_their_identity() -> None:
    winner, loser = _two_people()
    before = _state(winner), _state(loser)
    row = merge(winner_id=winner.pk, loser_id=loser.pk, reason=MergeReason.MANUAL, at=NOW)
    undo_merge(merge_id=row.pk, at=NOW)

    assert (_state(winner), _state(loser)) == before
    row.refresh_from_db()
    assert row.undone_at == NOW
    assert not ProfileAlias.objects.exists()

    again = merge(winner_id=winner.pk, loser_id=loser.pk, reason=MergeReason.MANUAL, at=NOW)
    send(track("Order Completed", visitor="l", at=NOW, revenue=7, message_id="late"))
    set_traits(profile_id=winner.pk, traits={"language": "fr", "city": "Graz"}, at=NOW)
    undo_merge(merge_id=again.pk, at=NOW)

    assert Event.objects.get(message_id="late").profile == loser
    loser.refresh_from_db()
    winner.refresh_from_db()
    assert (loser.orders_n, loser.revenue, winner.orders_n) == (2, 12_000_000, 1)
    assert winner.language == "fr"  # stated of the joined person: it stays
    cities = dict(ProfileTrait.objects.filter(definition__key="city").values_list("profile", "text"))
    assert cities == {winner.pk: "Graz", loser.pk: "Wien"}


def test_merge__newer_value_of_the_winner__is_kept_and_restored() -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    winner, loser = make_profile(plan="new", at=NOW), make_profile(plan="old", at=NOW - DAY)
    row = merge(winner_id=winner.pk, loser_id=loser.pk, reason=MergeReason.MANUAL, at=NOW)
    assert ProfileTrait.objects.get().text == "new"

    undo_merge(merge_id=row.pk, at=NOW)
    assert dict(ProfileTrait.objects.values_list("profile", "text")) == {winner.pk: "new", loser.pk: "old"}


def test_merge__chain__aliases_point_to_the_last_winner_and_come_back_in_order() -> None:
    first, second, third = make_profile(), make_profile(), make_profile()
    one = merge(winner_id=second.pk, loser_id=first.pk, reason=MergeReason.MANUAL, at=NOW)
    two = merge(winner_id=third.pk, loser_id=second.pk, reason=MergeReason.MANUAL, at=NOW)

    assert dict(ProfileAlias.objects.values_list("loser", "winner")) == {first.pk: third.pk, second.pk: third.pk}
    assert set(Profile.objects.filter(merged_into=third)) == {first, second}
    with pytest.raises(CannotMerge, match="undo the later merge"):
        undo_merge(merge_id=one.pk, at=NOW)

    undo_merge(merge_id=two.pk, at=NOW)
    assert dict(ProfileAlias.objects.values_list("loser", "winner")) == {first.pk: second.pk}
    undo_merge(merge_id=one.pk, at=NOW)
    assert Profile.objects.living().count() == 3
    with pytest.raises(CannotMerge, match="already been undone"):
        undo_merge(merge_id=one.pk, at=NOW)


def test_merge__impossible_pairs__are_refused() -> None:
    one, other = make_profile(), make_profile()

    def joined(winner_id: int, loser_id: int) -> None:
        merge(winner_id=winner_id, loser_id=loser_id, reason=MergeReason.MANUAL, at=NOW)

    with pytest.raises(CannotMerge, match="with itself"):
        joined(one.pk, one.pk)
    with pytest.raises(CannotMerge, match="there is no profile"):
        joined(one.pk, 10**9)
    joined(one.pk, other.pk)
    with pytest.raises(CannotMerge, match="already been merged"):
        joined(make_profile().pk, other.pk)


def test_split_identity__shared_device__gives_it_a_profile_of_its_own_with_its_events() -> None:
    send(track("Product Viewed", visitor="v1", message_id="before"))
    send(identify("u1", "v1"), track("Order Completed", user="u1", revenue=3))
    user = owner("user_id", "u1")
    visitor = split_identity(identity_id=Identity.objects.get(value="v1").pk, at=NOW)

    assert owner("anonymous", "v1") == visitor != user
    assert Event.objects.get(message_id="before").profile == visitor
    user.refresh_from_db()
    assert (user.orders_n, user.revenue) == (1, 3_000_000)
    assert Activity.objects.get(profile=visitor).n == 1
    with pytest.raises(CannotMerge, match="only identity"):
        split_identity(identity_id=Identity.objects.get(value="v1").pk, at=NOW)


def test_event__changed_behind_the_services__the_database_refuses_all_but_the_profile() -> None:
    send(track("Product Viewed", user="u1"), track("Product Viewed", user="u2"))
    changes: list[dict[str, Any]] = [{"value": 1}, {"at": 1}, {"props": {}}, {"message_id": "x"}, {"identity": 1}]
    for change in changes:
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            Event.objects.update(**change)
    Event.objects.update(profile=owner("user_id", "u1"))

    assert Event.objects.filter(profile=owner("user_id", "u1")).count() == 2


def test_consent__changed_behind_the_services__the_database_refuses() -> None:
    give_consent(make_profile())
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Consent.objects.update(granted=False)


def test_create_profile__somebody_elses_identity__is_refused() -> None:
    make_profile(user_id="u1")
    with pytest.raises(ValueError, match="nobody else may have them"), transaction.atomic():
        make_profile(user_id="u1")
    with pytest.raises(ValueError, match="must have identities"), transaction.atomic():
        create_profile(identities=[], traits={}, at=NOW)


def test_sign_in__new_user_with_a_new_and_a_known_device__is_the_known_profile() -> None:
    send(track("Product Viewed", visitor="known"))
    known = owner("anonymous", "known")
    send(track("Product Viewed", user="u1", visitor="new"), track("Product Viewed", user="u1", visitor="known"))

    assert owner("user_id", "u1") == owner("anonymous", "new") == known
    assert Profile.objects.count() == 1
    assert Event.objects.filter(profile=known).count() == 3


def test_identity__made_by_another_process_meanwhile__is_used_and_leaves_no_orphan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = resolution.find
    looks: list[int] = []

    def late(keys: Any) -> Any:
        """The first look finds nothing, because the other process has not committed yet."""
        looks.append(1)
        return {} if len(looks) == 1 else real(keys)

    profile = make_profile(user_id="u1")
    monkeypatch.setattr(resolution, "find", late)
    send(track("Product Viewed", user="u1"), track("Product Viewed", user="u2"))

    assert Event.objects.filter(profile=profile).count() == 1
    assert Profile.objects.count() == 2
    assert len(looks) == 2
