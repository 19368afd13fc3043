"""Computed traits: what they say, who is left out, and that counting who changed is as good as counting everybody."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketing import tasks
from marketing.choices import MergeReason, Purpose, TraitRunKind, TraitType
from marketing.errors import CannotComputeTraits, CannotDeclareTrait
from marketing.models import (
    ChangedProfile,
    ChangeLog,
    Event,
    Job,
    Merge,
    Profile,
    ProfileNews,
    ProfileTrait,
    TraitRun,
)
from marketing.services import jobs
from marketing.services.archive import archive_events
from marketing.services.identity import merge, split_identity, undo_merge
from marketing.services.portrait import orders, run
from marketing.services.portrait.definitions import (
    change_recipe,
    define_trait,
    ensure_builtin_traits,
    switch_trait,
)
from marketing.services.portrait.run import Outcome, compute_traits
from marketing.services.privacy import erase_profile
from marketing.services.profiles import declare_trait, set_traits
from marketing.services.segments import refresh_segment
from recommender.models import Item
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
Values = dict[tuple[int, str], float | str | None]


def compute(at: datetime = NOW, **more: Any) -> Outcome:
    return compute_traits(clock=lambda: at, **more)


def values() -> Values:
    rows = ProfileTrait.objects.filter(definition__origin="computed").values_list(
        "profile_id", "definition__key", "number", "text"
    )
    return {(profile, key): number if text is None else text for profile, key, number, text in rows}


def value(profile: Profile, key: str) -> float | str | None:
    return values().get((profile.pk, key))


def order(user: str, amount: float = 10, *, days: float = 1, **more: Any) -> dict[str, Any]:
    return track("Order Completed", user=user, at=NOW - days * DAY, revenue=amount, **more)


def view(user: str, item: str | None = None, *, days: float = 1, **more: Any) -> dict[str, Any]:
    return track("Product Viewed", user=user, at=NOW - days * DAY, product_id=item, **more)


def make_item(item_id: str, category: str = "", brand: str = "") -> Item:
    return Item.objects.create(
        item_id=item_id, title=item_id, category=category, brand=brand, created_at=NOW, updated_at=NOW
    )


def recipe(kind: str, **more: Any) -> dict[str, Any]:
    return {"schema": 1, "kind": kind, **more}


def test_compute__counts_and_sums__are_of_their_windows() -> None:
    ensure_builtin_traits()
    ann, bob = make_profile(user_id="ann"), make_profile(user_id="bob")
    send(order("ann", 10), order("ann", 20.5, days=40), view("ann", "p1"), view("ann", "p1"), view("ann", "p2"))
    send(view("bob", days=60))
    compute()

    assert value(ann, "orders_30d") == 1
    assert value(ann, "orders_365d") == 2
    assert value(ann, "revenue_365d") == 30.5
    assert value(ann, "views_30d") == 3
    assert value(ann, "items_viewed_30d") == 2
    assert value(ann, "active_days_30d") == 1
    assert value(ann, "engagement") == "low"
    assert value(bob, "views_30d") == 0  # did it before
    assert value(bob, "orders_30d") is None  # never did it
    assert value(bob, "engagement") == "none"


def test_compute__whole_past__is_taken_from_the_summary() -> None:
    define_trait(
        key="n", name="N", at=NOW, recipe=recipe("events", event="Order Completed", measure="count", days=None)
    )
    ann = make_profile(user_id="ann")
    send(order("ann", days=700), order("ann", days=3))
    compute()

    assert value(ann, "n") == 2


def test_compute__orders__give_values_scores_and_a_group() -> None:
    ensure_builtin_traits()
    people = [make_profile(user_id=f"u{n}") for n in range(10)]
    for n in range(10):
        send(*[order(f"u{n}", 10 * (n + 1), days=100 - 9 * n + k) for k in range(1 + n // 2)])
    send(track("Order Refunded", user="u9", at=NOW, value=100))
    compute()

    assert value(people[9], "average_order_value") == 100
    assert value(people[9], "lifetime_value") == 400
    assert [value(people[n], "rfm_recency") for n in (0, 9)] == [1, 5]
    assert [value(one, "rfm_frequency") for one in people] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert value(people[9], "rfm_group") == "champions"
    assert value(people[0], "rfm_group") == "lost"
    assert [value(people[n], "price_level") for n in (0, 5, 9)] == ["budget", "middle", "premium"]
    assert value(people[9], "last_order") == (NOW - 19 * DAY).toordinal() - date(1970, 1, 1).toordinal()
    # Ten buyers are too few for a model, and the run says so instead of guessing.
    assert value(people[9], "churn_risk") is None
    assert TraitRun.objects.get().parameters["bg_nbd"] is None


def test_compute__many_buyers__have_a_churn_risk_and_a_predicted_value() -> None:
    ensure_builtin_traits()
    rng = random.Random(3)
    messages = []
    for n in range(150):  # buyers as the model has them: each with a rate, and a chance to leave after each order
        day, rate, leaves = rng.uniform(20, 200), rng.gammavariate(0.8, 0.1), rng.betavariate(1, 2)
        while day > 0:
            messages.append(order(f"u{n}", rng.uniform(5, 50), days=day))
            day -= rng.expovariate(rate)
            if rng.random() < leaves and len(messages) > 1:
                break
    send(*messages)
    send(
        *[order("fresh", 20, days=day) for day in (1, 8, 15, 22)], *[order("gone", 20, days=180 + d) for d in range(4)]
    )
    compute()
    fresh = Profile.objects.get(identities__value="fresh")
    gone = Profile.objects.get(identities__value="gone")

    risks = [value(one, "churn_risk") for one in (fresh, gone)]
    assert isinstance(risks[0], float)
    assert isinstance(risks[1], float)
    assert 0 <= risks[0] < risks[1] <= 1
    assert float(value(fresh, "predicted_value") or 0) > float(value(gone, "predicted_value") or 0) >= 0
    parameters = TraitRun.objects.get().parameters
    assert parameters["bg_nbd"].keys() == {"r", "alpha", "a", "b"}
    assert orders.Parameters.from_json(parameters).as_json() == parameters


def test_compute__affinity__weighs_and_decays_views_searches_carts_and_purchases() -> None:
    ensure_builtin_traits()
    make_item("s1", "Shoes", "Acme")
    make_item("h1", "Hats", "Zeta")
    ann, bob, cid, dan = (make_profile(user_id=name) for name in ("ann", "bob", "cid", "dan"))
    send(view("ann", "h1"), view("ann", "h1"), view("ann", "h1"), order("ann", days=1, product_id="s1"))
    # As many, but half a year ago: two half-lives make a quarter of them.
    send(*[view("bob", "h1", days=181) for _ in range(4)], *[view("bob", "s1", days=1) for _ in range(2)])
    send(*[track("Products Searched", user="cid", at=NOW - DAY, query="red shoes") for _ in range(3)])
    send(
        *[order("dan", order_id=f"o{n}", products=[{"product_id": "h1"}, {"product_id": "s1"}]) for n in range(2)],
        view("dan", "s1"),
    )
    compute()

    assert value(ann, "top_category") == "Shoes"  # 5 against 3
    assert value(ann, "top_category_share") == 0.625
    assert value(ann, "top_brand") == "Acme"
    assert value(bob, "top_category") == "Shoes"
    assert value(bob, "top_category_share") == 0.667
    assert value(cid, "top_category") == "Shoes"
    assert value(dan, "top_category") == "Shoes"
    assert value(dan, "top_category_share") == round(11 / 21, 3)


def test_compute__few_touches__are_no_affinity_and_no_habit() -> None:
    ensure_builtin_traits()
    make_item("s1", "Shoes")
    ann = make_profile(user_id="ann")
    send(view("ann", "s1"), view("ann", "s1"))
    compute()

    assert value(ann, "top_category") is None
    assert value(ann, "preferred_hour") is None


def test_compute__habits__are_in_the_reporting_time_zone(settings: Any) -> None:
    settings.REPORTING_TIME_ZONE = "Europe/Berlin"
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    late = datetime.fromisoformat("2026-11-23T23:30+00:00")  # a Monday in UTC, Tuesday in Berlin
    send(*[track("Page Viewed", user="ann", at=late, device="phone", channel="app") for _ in range(5)])
    compute()

    assert value(ann, "preferred_hour") == 0
    assert value(ann, "preferred_weekday") == 2
    assert value(ann, "preferred_device") == "phone"
    assert value(ann, "preferred_channel") == "app"


def test_compute__formula__follows_its_inputs() -> None:
    ensure_builtin_traits()
    declare_trait(key="discount", name="Discount", type_=TraitType.NUMBER)
    expression = "round(revenue_365d / orders_365d * (1 - coalesce(discount, 0)), 1)"
    define_trait(key="margin", name="Margin", at=NOW, recipe=recipe("formula", expression=expression))
    define_trait(key="twice", name="Twice", at=NOW, recipe=recipe("formula", expression="margin * 2 + orders_n * 0"))
    ann = make_profile(user_id="ann")
    send(order("ann", 30), order("ann", 10))
    compute()
    assert value(ann, "twice") == 40

    set_traits(profile_id=ann.pk, traits={"discount": 0.5}, at=NOW)
    assert compute(NOW + timedelta(hours=1)).kind == TraitRunKind.INCREMENTAL
    assert value(ann, "margin") == 10
    assert value(ann, "twice") == 20


def test_compute__nothing_new__writes_nothing() -> None:
    ensure_builtin_traits()
    make_profile(user_id="ann")
    send(order("ann"), view("ann"))
    compute()
    kept = list(ProfileTrait.objects.order_by("pk").values())

    outcome = compute(NOW + timedelta(minutes=5))

    assert (outcome.kind, outcome.people, outcome.changed) == (TraitRunKind.INCREMENTAL, 0, 0)
    assert list(ProfileTrait.objects.order_by("pk").values()) == kept
    assert compute(NOW + timedelta(minutes=6), is_full=True).changed == 0


def test_compute__event_leaves_a_window__is_noticed_without_news() -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    send(order("ann", days=29.5))
    compute()
    assert value(ann, "orders_30d") == 1
    assert not ProfileNews.objects.exists()

    outcome = compute(NOW + DAY)

    assert outcome.people == 1
    assert value(ann, "orders_30d") == 0


def test_compute__label_of_an_item_changes__its_people_are_counted_again() -> None:
    ensure_builtin_traits()
    item = make_item("s1", "Shoes")
    ann, bob = make_profile(user_id="ann"), make_profile(user_id="bob")
    send(*[view("ann", "s1") for _ in range(3)], view("bob", "x"))
    send(*[order("bob", order_id=f"o{n}", products=[{"product_id": "s1"}, {"product_id": "y"}]) for n in range(3)])
    compute()
    item.category = "Boots"
    item.save()

    assert compute(NOW + timedelta(hours=1)).people == 2
    assert [value(one, "top_category") for one in (ann, bob)] == ["Boots", "Boots"]
    item.delete()
    compute(NOW + timedelta(hours=2))
    assert [value(one, "top_category") for one in (ann, bob)] == [None, None]


@pytest.mark.parametrize("purpose", [Purpose.PROFILING, Purpose.OBJECTION])
def test_compute__objection__removes_at_once_and_keeps_out(purpose: Purpose) -> None:
    """Art. 21: profiling stops for whoever objects to it; what others are compared with does not count them either."""
    ensure_builtin_traits()
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    ann, bob = make_profile(user_id="ann", plan="gold"), make_profile(user_id="bob")
    send(order("ann"), order("bob"))
    compute()
    assert value(ann, "rfm_group") is not None
    is_yes = purpose == Purpose.OBJECTION

    give_consent(ann, purpose, granted=is_yes)
    assert {profile for profile, _ in values()} == {bob.pk}
    compute(NOW + DAY, is_full=True)
    assert {profile for profile, _ in values()} == {bob.pk}
    assert ProfileTrait.objects.get(profile=ann).text == "gold"  # what the person stated stays
    assert TraitRun.objects.order_by("-pk")[0].parameters["buyers_n"] == 1

    give_consent(ann, purpose, granted=not is_yes, at=NOW + DAY)
    compute(NOW + 2 * DAY)
    assert value(ann, "rfm_group") is not None


def test_compute__chosen_people__only_theirs_change() -> None:
    ensure_builtin_traits()
    ann, bob = make_profile(user_id="ann"), make_profile(user_id="bob")
    send(order("ann"), order("bob"))
    with pytest.raises(CannotComputeTraits, match="everybody first"):
        compute(profile_ids=[ann.pk])
    compute()
    send(order("ann", 90), order("bob", 90))

    outcome = compute(NOW + timedelta(hours=1), profile_ids=[ann.pk])

    assert (outcome.kind, outcome.people) == (TraitRunKind.SELECTED, 1)
    assert value(ann, "average_order_value") == 50
    assert value(bob, "average_order_value") == 10
    compute(NOW + timedelta(hours=2))
    assert value(bob, "average_order_value") == 50


def test_compute__changed_values__reach_segments() -> None:
    ensure_builtin_traits()
    segment = make_segment({"trait": "rfm_group", "op": "is_set", "value": None}, slug="buyers")
    ann = make_profile(user_id="ann")
    refresh_segment(segment_id=segment.pk, at=NOW)
    send(order("ann"))
    ChangedProfile.objects.all().delete()

    compute()

    assert set(ChangedProfile.objects.values_list("profile_id", flat=True)) == {ann.pk}
    assert refresh_segment(segment_id=segment.pk, at=NOW + DAY).members == 1


def test_compute__busy_or_killed__says_so_and_recovers() -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    send(order("ann"))
    assert jobs.begin(name=run.JOB, total=0, at=NOW)
    with pytest.raises(CannotComputeTraits, match="already"):
        compute()
    Job.objects.all().delete()
    ProfileNews.objects.update(is_claimed=True)  # taken by a calculation that was killed
    TraitRun.objects.create(kind=TraitRunKind.FULL, at=NOW - DAY, fingerprint="")
    ChangedProfile.objects.all().delete()

    compute()

    assert value(ann, "orders_30d") == 1
    assert TraitRun.objects.count() == 1
    assert ChangedProfile.objects.filter(profile=ann).exists()


def test_compute__failure__is_recorded_and_the_news_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_builtin_traits()
    make_profile(user_id="ann")
    send(order("ann"))

    def broken(**_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(orders, "fit", broken)
    with pytest.raises(RuntimeError):
        compute()

    assert Job.objects.get(name=run.JOB).state == Job.State.FAILED
    assert ProfileNews.objects.exists()


def test_recipe__changed__counts_everybody_and_cannot_change_the_type() -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    send(order("ann", days=50))
    compute()
    change_recipe(key="orders_30d", recipe=recipe("events", event="Order Completed", measure="count", days=60), at=NOW)
    with pytest.raises(CannotDeclareTrait, match="is of the type number, the recipe makes a text"):
        change_recipe(key="orders_30d", recipe=recipe("engagement", days=3), at=NOW)

    assert compute(NOW + DAY).kind == TraitRunKind.FULL
    assert value(ann, "orders_30d") == 1
    assert ChangeLog.objects.filter(object_type="trait", transition="recipe").count() == 1


def test_trait__switched_off__loses_its_values() -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    send(order("ann"))
    compute()
    switch_trait(key="orders_30d", is_active=False, at=NOW)
    compute(NOW + DAY)
    assert value(ann, "orders_30d") is None
    switch_trait(key="orders_30d", is_active=True, at=NOW)
    compute(NOW + 2 * DAY)
    assert value(ann, "orders_30d") == 1


def test_computed_trait__stated_by_hand_or_message__is_left_out() -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    left_out = set_traits(profile_id=ann.pk, traits={"churn_risk": 1, "rfm_group": "champions"}, at=NOW)
    result = send({"type": "identify", "messageId": "i1", "userId": "ann", "traits": {"rfm_group": "champions"}})

    assert left_out == {"churn_risk": 1, "rfm_group": 1}
    assert result.traits_ignored == {"rfm_group": 1}
    assert not ProfileTrait.objects.exists()


@pytest.mark.parametrize(
    ("key", "more", "message"),
    [
        ("Bad key", {}, "small letters"),
        ("email", {}, "kept of everybody already"),
        ("plan", {}, "already"),
        ("x", {"name": " "}, "the name must have"),
        ("x", {"type_": TraitType.NUMBER, "allowed_values": ["a"]}, "allowed values belong to a text"),
        ("x", {"recipe": {"schema": 1, "kind": "magic"}}, "kind must be one of"),
        ("x", {"recipe": recipe("formula", expression="nobody + 1")}, "names nobody, which is no trait"),
        ("x", {"recipe": recipe("formula", expression="plan + 1")}, "which is a text"),
        ("x", {"recipe": recipe("formula", expression="faith + 1")}, "which is protected"),
        ("x", {"recipe": recipe("engagement", days=3), "sensitivity": "protected"}, "never computed"),
    ],
)
def test_define_trait__bad_input__says_what_is_wrong(key: str, more: dict[str, Any], message: str) -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    define_trait(key="faith", name="Faith", at=NOW, type_=TraitType.NUMBER, sensitivity="protected")  # type: ignore[arg-type]  # as forms give it
    with pytest.raises(CannotDeclareTrait, match=message):
        define_trait(**{"key": key, "name": "X", "at": NOW, **more})


def test_formulas__in_a_circle__are_refused() -> None:
    ensure_builtin_traits()
    define_trait(key="a", name="A", at=NOW, recipe=recipe("formula", expression="churn_risk * 2"))
    define_trait(key="b", name="B", at=NOW, recipe=recipe("formula", expression="a * 2"))
    with pytest.raises(CannotDeclareTrait, match="circle: a → b → a"):
        change_recipe(key="a", recipe=recipe("formula", expression="b * 2"), at=NOW)


def test_command_and_task__compute(capsys: pytest.CaptureFixture[str]) -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    send(order("ann", days=1))
    call_command("compute_traits", "--full")
    assert "everybody: 1 people recounted" in capsys.readouterr().out
    call_command("compute_traits", "--profiles", str(ann.public_id))
    assert "chosen people: 1 people" in capsys.readouterr().out
    with pytest.raises(CommandError, match="there is no profile nobody"):
        call_command("compute_traits", "--profiles", "nobody")
    tasks.compute_traits()
    assert TraitRun.objects.count() == 3


class World:
    """Random news of a few people, to be played any number of times."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.at = NOW - 60 * DAY
        for n in range(6):
            make_item(f"i{n}", f"Category {n % 3}", f"Brand {n % 2}")
        ensure_builtin_traits()
        declare_trait(key="points", name="Points", type_=TraitType.NUMBER)
        define_trait(
            key="score",
            name="Score",
            at=NOW,
            recipe=recipe("formula", expression="coalesce(churn_risk, 0) + coalesce(points, 0) + orders_n"),
        )

    def act(self) -> None:
        """One thing happens."""
        weights = {
            self.event: 12, self.refund: 1, self.sign_in: 2, self.join: 1, self.part: 1,
            self.split: 1, self.erase: 1, self.object: 1, self.state: 1, self.relabel: 1, self.late: 2,
        }  # fmt: skip
        (deed,) = self.rng.choices(list(weights), list(weights.values()))
        deed()

    def user(self) -> str:
        return f"u{self.rng.randrange(8)}"

    def profile(self) -> Profile | None:
        people = list(Profile.objects.living().order_by("pk"))
        return self.rng.choice(people) if people else None

    def event(self, days: float = 0) -> None:
        name = self.rng.choice(["Product Viewed", "Product Added", "Order Completed", "Products Searched"])
        more: dict[str, Any] = {"device": self.rng.choice(["phone", "desk"])}
        if name == "Order Completed":
            more |= {"revenue": self.rng.randrange(1, 99)}
        if name == "Products Searched":
            more |= {"query": "category 1"}
        else:
            more |= {"product_id": f"i{self.rng.randrange(6)}"}
        who = {"user": self.user()} if self.rng.random() < 0.7 else {"visitor": f"v{self.rng.randrange(4)}"}
        send(track(name, at=self.at - days * DAY, **who, **more), at=self.at)

    def late(self) -> None:
        self.event(days=self.rng.choice([1, 29.9, 30.1, 200, 364.9]))

    def refund(self) -> None:
        send(track("Order Refunded", user=self.user(), at=self.at, value=self.rng.randrange(1, 50)), at=self.at)

    def sign_in(self) -> None:
        send(track("Product Viewed", user=self.user(), visitor=f"v{self.rng.randrange(4)}", at=self.at), at=self.at)

    def join(self) -> None:
        one, other = self.profile(), self.profile()
        if one is not None and other is not None and one != other:
            merge(winner_id=one.pk, loser_id=other.pk, reason=MergeReason.MANUAL, at=self.at)

    def part(self) -> None:
        rows = Merge.objects.filter(undone_at=None, winner__merged_into=None).order_by("-pk")
        row = next((one for one in rows if one.loser.merged_into_id == one.winner_id), None)
        if row is not None:
            undo_merge(merge_id=row.pk, at=self.at)

    def split(self) -> None:
        profile = self.profile()
        if profile is not None and profile.identities.count() > 1:
            split_identity(identity_id=profile.identities.order_by("pk")[0].pk, at=self.at)

    def erase(self) -> None:
        profile = self.profile()
        if profile is not None and Profile.objects.living().count() > 4:
            erase_profile(profile_id=profile.pk, at=self.at)

    def object(self) -> None:
        profile = self.profile()
        if profile is not None:
            purpose = self.rng.choice([Purpose.PROFILING, Purpose.OBJECTION])
            give_consent(profile, purpose, granted=self.rng.random() < 0.5, at=self.at)

    def state(self) -> None:
        profile = self.profile()
        if profile is not None:
            set_traits(profile_id=profile.pk, traits={"points": self.rng.randrange(9)}, at=self.at)

    def relabel(self) -> None:
        item = Item.objects.order_by("pk")[self.rng.randrange(6)]
        item.category = f"Category {self.rng.randrange(3)}"
        item.save()


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_compute__who_changed__gives_the_bits_of_everybody(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late events, merges, undone ones, refunds, erasures, objections: after each step both ways agree exactly."""
    monkeypatch.setattr("marketing.portrait.btyd.FEWEST_BUYERS", 4)
    monkeypatch.setattr("marketing.portrait.btyd.FEWEST_REPEATERS", 2)
    monkeypatch.setattr(run, "CHUNK", 3)
    world = World(seed)
    kinds = set()
    for _ in range(6):
        for _ in range(world.rng.randrange(1, 12)):
            world.act()
            world.at += timedelta(hours=world.rng.randrange(1, 60))
        kinds.add(compute(world.at).kind)
        found = values()
        ProfileTrait.objects.filter(definition__origin="computed").delete()
        compute(world.at, is_full=True)
        assert found == values()
        world.at += world.rng.choice([timedelta(0), timedelta(days=7)])
    assert TraitRunKind.INCREMENTAL in kinds
    assert {key for _, key in values()} >= {"orders_30d", "rfm_group", "score"}


def test_archive__events_that_traits_look_at__stay(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    define_trait(key="n", name="N", at=NOW, recipe=recipe("events", event="Product Viewed", measure="items", days=90))
    make_profile(user_id="ann")
    send(view("ann", "p1", days=80), view("ann", "p2", days=100))

    result = archive_events(at=NOW, keep_days=10)

    assert result.events_n == 1
    assert Event.objects.get().item == "p1"
