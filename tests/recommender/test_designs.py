"""Building a strategy: form, preview, versions in words, comparison."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from recommender.forms.strategy import StrategyForm, initial_of
from recommender.models import ModelVersion, Slate, Strategy
from recommender.services.filters import Filters
from recommender.services.holds import hold_strategies
from recommender.services.rules import Rules
from recommender.services.strategies import StrategyDesign, design_of, free_slug, revise_strategy
from recommender.services.training import train
from recommender.services.trials import compare, try_design
from recommender.services.words import Difference, algorithm_choices, describe, differences
from tests.recommender.conftest import NOW
from tests.recommender.test_views import _client

EVERYTHING = StrategyDesign(
    algorithm="item-knn",
    parameters={"neighbours": 50, "weighting": "bm25", "b": 0.5},
    filters=Filters(
        seen=("Order Completed",),
        bought_days=30,
        show_out_of_stock=True,
        hide_age_restricted=True,
        categories=("Shelf 0", "Shelf 1"),
        exclude_categories=("Shelf 2",),
        exclude_tags=("even",),
        blocked=("g0-1",),
        price_min=1_500_000,
        price_max=9_000_000,
        max_per_category=3,
    ),
    rules=Rules(
        pinned=("g0-0",),
        boosted=("category=Shelf 0",),
        boost_percent=70,
        buried=("tag=even",),
        promoted=("item=new",),
        promoted_percent=25,
        damping_percent=30,
        diversity_percent=20,
        explore="softmax",
        new_items=2,
        new_item_weight=3,
    ),
    fallbacks=("content", "popularity"),
    window_days=90,
    leave_out_treated=True,
)


def _fields(design: StrategyDesign, **more: Any) -> dict[str, Any]:
    values = {name: value for name, value in initial_of(design).items() if value is not None and value is not False}
    return {**values, **more}


@pytest.fixture
def builder(db: None) -> Client:
    return _client("view_strategy", "change_strategy")


def test_form__any_design__comes_back_as_it_went_in(trained_shop: None) -> None:
    strategies = [("content", "C"), ("popularity", "P")]
    for design in (EVERYTHING, StrategyDesign(algorithm="popularity")):
        form = StrategyForm(_fields(design, name="x"), strategies=strategies, is_new=True)
        assert form.is_valid(), form.errors
        assert form.design() == design


@pytest.mark.parametrize(
    ("parameters", "words"),
    [("neighbours", "write “name = value”"), ("neighbours = many", "must be a number like 100, not “many”")],
)
def test_form__wrong_parameters__named(trained_shop: None, parameters: str, words: str) -> None:
    fields = _fields(StrategyDesign(algorithm="item-knn"), parameters=parameters)
    form = StrategyForm(fields, strategies=[], is_new=False)
    assert words in str(form.errors["parameters"])


def test_form__switch_of_an_algorithm__true_or_false(trained_shop: None) -> None:
    fields = _fields(StrategyDesign(algorithm="ease"), parameters="binary = yes")
    assert "true or false" in str(StrategyForm(fields, strategies=[], is_new=False).errors["parameters"])
    form = StrategyForm({**fields, "parameters": "binary = True"}, strategies=[], is_new=False)
    assert form.is_valid()
    assert form.design().parameters == {"binary": True}


def test_new__filled_in__strategy_with_its_first_version(builder: Client, trained_shop: None) -> None:
    assert builder.get(reverse("recommender:strategy-new")).status_code == 200
    fields = _fields(EVERYTHING, name="Spring picks", description="For the home page")
    answer = builder.post(reverse("recommender:strategy-new"), fields)
    assert answer.status_code == 302
    strategy = Strategy.objects.get(slug="spring-picks")
    assert strategy.current_version is not None
    assert design_of(strategy.current_version) == EVERYTHING
    assert free_slug("Spring picks") == "spring-picks-2"
    assert free_slug("new") == "new-2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "required"),
        ({"parameters": "size = 3"}, "unknown parameter"),
        ({"boosted": "Shelf"}, "is no mark"),
    ],
)
def test_new__nonsense__said_on_the_form(
    builder: Client, trained_shop: None, change: dict[str, str], words: str
) -> None:
    fields = _fields(StrategyDesign(algorithm="item-knn"), name="x") | change
    answer = builder.post(reverse("recommender:strategy-new"), fields)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Strategy.objects.filter(slug="x").exists()


def test_edit__changed__next_version_and_what_changed_in_words(builder: Client, trained_shop: None) -> None:
    hold_strategies(slugs=["item-knn"], holder="campaign-spring", at=NOW)
    address = reverse("recommender:strategy-edit", args=["item-knn"])
    assert "version 1 by campaign-spring" in builder.get(address).content.decode()
    design = StrategyDesign(algorithm="item-knn", rules=Rules(diversity_percent=30), fallbacks=("popularity",))
    assert builder.post(address, _fields(design)).status_code == 302
    page = builder.get(reverse("recommender:strategy-detail", args=["item-knn"])).content.decode()
    assert "Version 2" in page
    assert "<ins>30 % of the weight is on being unlike what stands before</ins>" in page
    assert "The first version." in page
    assert builder.post(address, _fields(design, fallback_1="nonsense")).status_code == 422
    refused = builder.post(address, _fields(design, parameters="size = 3"))
    assert refused.status_code == 422
    assert "unknown parameter" in refused.content.decode()


def test_preview__half_filled__slates_in_words_and_nothing_stored(builder: Client, trained_shop: None) -> None:
    address = reverse("recommender:strategy-preview")
    design = StrategyDesign(algorithm="item-knn", rules=Rules(explore="epsilon"), fallbacks=("popularity",))
    page = builder.post(f"{address}?strategy=item-knn", _fields(design)).content.decode()
    assert "Because you looked at" in page
    assert "A stranger" in page
    assert "10 % of the places are drawn" in page
    assert not Slate.objects.exists()
    page = builder.post(address, _fields(design)).content.decode()  # new, and no name yet
    assert "A stranger" in page
    page = builder.post(address, _fields(design, explore_pool="x")).content.decode()
    assert "Enter a whole number" in page
    page = builder.post(address, _fields(design, boosted="Shelf")).content.decode()
    assert "is no mark" in page


def test_try_design__model_of_the_same_kind__scores_by_it(trained_shop: None) -> None:
    same = StrategyDesign(algorithm="content", fallbacks=("popularity",))
    slates = try_design(slug="draft", design=same, at=NOW)
    assert len(slates) == 5
    assert slates[0].fallback == ""
    other = StrategyDesign(algorithm="item-knn", parameters={"neighbours": 3}, fallbacks=("popularity",))
    assert {slate.fallback for slate in try_design(slug="draft", design=other, at=NOW)} == {"popularity"}


def test_compare__two_strategies__same_people_and_what_they_share(builder: Client, trained_shop: None) -> None:
    address = reverse("recommender:strategy-compare")
    page = builder.get(address, {"left": "item-knn", "right": "item-knn"}).content.decode()
    assert "5 in both" in page
    pair = compare(slugs=("item-knn", "popularity"), at=NOW)
    assert [person.user_id for person in pair.pairs][-1] == ""
    for person in pair.pairs:
        assert person.shared == sum(row.is_shared for row in person.left.items)
    assert pair.models[0] == ModelVersion.objects.get(strategy__slug="item-knn")
    assert builder.get(address, {"left": "nonsense"}).status_code == 404


def test_compare__one_strategy__empty_state(builder: Client, db: None) -> None:
    assert "Nothing to compare yet" in builder.get(reverse("recommender:strategy-compare")).content.decode()


def test_detail__many_versions__queries_stay_bounded(
    builder: Client, trained_shop: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for percent in range(12):
        design = StrategyDesign(algorithm="item-knn", rules=Rules(damping_percent=percent))
        revise_strategy(slug="item-knn", design=design, at=NOW)
    train(slug="item-knn", at=NOW)
    with django_assert_max_num_queries(12):
        builder.get(reverse("recommender:strategy-detail", args=["item-knn"]))


def test_words__every_part_of_a_design__is_said(trained_shop: None) -> None:
    said = {sentence.subject: sentence.text for sentence in describe(EVERYTHING)}
    assert said["Learns from"] == "the last 90 days, without what treated people did"
    assert said["Seen items"] == "are left out after: Order Completed"
    assert said["Raised"] == "category Shelf 0, by 70 %"
    assert said["Promotions"] == "item new get 25 % of the places"
    assert said["New items"] == "the newest 2 take part, 3 × as likely"
    assert said["If that is not enough"] == "content → popularity → the catalogue by popularity"
    assert {"Price from", "Price to", "Each category", "Blocked items", "Always first", "Variety"} <= set(said)
    plain = {sentence.subject: sentence.text for sentence in describe(StrategyDesign(algorithm="x"))}
    assert plain["Algorithm"] == "x"
    repeats = describe(StrategyDesign(algorithm="x", filters=Filters(seen=())))
    assert "may come again" in [sentence.text for sentence in repeats]


def test_differences__only_what_differs__gone_ones_last() -> None:
    before = StrategyDesign(algorithm="item-knn", rules=Rules(diversity_percent=20))
    after = StrategyDesign(algorithm="content", filters=Filters(max_per_category=1))
    assert differences(before, after) == [
        Difference("Algorithm", "Others who chose this also chose", "More of the same kind"),
        Difference("Each category", "", "at most 1 place"),
        Difference("Variety", "20 % of the weight is on being unlike what stands before", ""),
    ]
    assert differences(before, before) == []


def test_algorithm_choices__all_registered__named() -> None:
    assert ("ease", "Items that go together (EASE) · ease") in algorithm_choices()
