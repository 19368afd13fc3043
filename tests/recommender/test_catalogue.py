from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_django import DjangoAssertNumQueries

from recommender.errors import InvalidItem
from recommender.models import Item, ModelVersion
from recommender.selectors import get_item, item_titles, list_categories, list_items
from recommender.services.artefacts import models_folder
from recommender.services.catalogue import ItemRow, remove_demo_items, set_popularity, upsert_items
from recommender.services.training import train
from tests.recommender.conftest import NOW, catalogue_rows, later

pytestmark = pytest.mark.django_db

ROW = ItemRow(item_id="a", title="A", tags=("x",), attributes={"size": 3}, price=1, currency="EUR")


def test_upsert__new_changed_and_same__counted_and_only_changes_written() -> None:
    rows = [ROW, replace(ROW, item_id="b")]
    first = upsert_items(items=rows, at=NOW)
    second = upsert_items(items=[replace(ROW, title="AA"), rows[1]], at=later(days=1))
    assert (first.created, first.updated, first.unchanged) == (2, 0, 0)
    assert (second.created, second.updated, second.unchanged) == (0, 1, 1)
    changed, same = Item.objects.order_by("item_id")
    assert (changed.title, changed.created_at, changed.updated_at) == ("AA", NOW, later(days=1))
    assert same.updated_at == NOW


def test_upsert__same_id_twice__last_row_wins() -> None:
    counts = upsert_items(items=[ROW, replace(ROW, title="Z")], at=NOW)
    assert Item.objects.get().title == "Z"
    assert counts.created == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (replace(ROW, item_id=""), "item_id"),
        (replace(ROW, item_id="x" * 201), "item_id"),
        (replace(ROW, item_id="a\nb"), "item_id"),
        (replace(ROW, title=""), "title must not be empty"),
        (replace(ROW, title="x" * 301), "title is longer"),
        (replace(ROW, price=-1), "price"),
        (replace(ROW, url="javascript:alert(1)"), "url"),
    ],
)
def test_upsert__bad_row__nothing_written(row: ItemRow, words: str) -> None:
    with pytest.raises(InvalidItem, match=words):
        upsert_items(items=[ROW, row], at=NOW)
    assert not Item.objects.exists()


def test_upsert__a_thousand_rows__statements_per_batch(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    rows = [replace(ROW, item_id=str(number)) for number in range(1000)]
    with django_assert_max_num_queries(30):
        upsert_items(items=rows, at=NOW)


def test_set_popularity__only_changed_rows_written() -> None:
    upsert_items(items=[ROW, replace(ROW, item_id="b")], at=NOW)
    assert set_popularity(scores={"a": 2.0}, at=later(days=1)) == 1
    assert set_popularity(scores={"a": 2.0}, at=later(days=2)) == 0
    assert Item.objects.get(item_id="a").updated_at == later(days=1)


def test_remove_demo_items__demo_rows_and_models_that_know_them__nothing_else(shop: None) -> None:
    old = train(slug="popularity", at=later(days=-1))
    upsert_items(items=[replace(ROW, item_id="demo", is_demo=True)], at=NOW)
    new = train(slug="popularity", at=later(days=1))
    assert remove_demo_items() == 1
    assert set(ModelVersion.objects.values_list("pk", flat=True)) == {old.pk}
    assert (models_folder() / old.path).exists()
    assert not (models_folder() / new.path).exists()
    assert Item.objects.count() == len(catalogue_rows())
    assert remove_demo_items() == 0


def test_selectors__items__active_by_popularity() -> None:
    upsert_items(items=catalogue_rows(), at=NOW)
    Item.objects.filter(item_id="g0-1").update(popularity=5)
    Item.objects.filter(item_id="g0-2").update(popularity=9, is_active=False)
    assert [item.item_id for item in list_items(limit=2)] == ["g0-1", "g0-0"]
    assert [item.item_id for item in list_items(category="Shelf 1", limit=1, offset=1)] == ["g1-1"]
    assert list_categories() == ["Shelf 0", "Shelf 1", "Shelf 2"]
    assert item_titles(item_ids=["g0-1", "gone"]) == {"g0-1": "Thing 0 1"}
    item = get_item(item_id="g0-1")
    assert item is not None
    assert str(item) == "Thing 0 1"
    assert get_item(item_id="gone") is None
