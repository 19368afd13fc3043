"""Under which category and brand items count, and whose events are concerned when that changes."""

from __future__ import annotations

from collections.abc import Collection

import orjson
from django.db import transaction

from marketing.models import ItemLabel
from marketing.services.bulk import is_postgres, select_by
from marketing.services.portrait.reading import FETCHED, streamed
from recommender.selectors import item_labels

LONGEST = 200


@transaction.atomic
def sync_labels() -> set[str]:
    """Take over the catalogue's labels; return the items that count otherwise from now on."""
    known = {row.item_id: row for row in ItemLabel.objects.iterator(FETCHED)}
    changed: set[str] = set()
    new: list[ItemLabel] = []
    moved: list[ItemLabel] = []
    for item_id, category, brand in item_labels():
        row = known.pop(item_id, None)
        if row is None:
            if category or brand:
                new.append(ItemLabel(item_id=item_id, category=category, brand=brand))
                changed.add(item_id)
        elif (row.category, row.brand) != (category, brand):
            row.category, row.brand = category, brand
            moved.append(row)
            changed.add(item_id)
    gone = list(known.values())
    changed.update(row.item_id for row in gone)
    ItemLabel.objects.bulk_create(new, batch_size=1_000)
    ItemLabel.objects.bulk_update(moved, ["category", "brand"], batch_size=500)
    for start in range(0, len(gone), 1_000):
        ItemLabel.objects.filter(pk__in=[row.pk for row in gone[start : start + 1_000]]).delete()
    return changed


def touched_by(*, items: Collection[str], types: Collection[int]) -> set[int]:
    """Return who has an event with one of the items, alone or among the products of an order."""
    if not items or not types:
        return set()
    kinds = ", ".join(str(int(one)) for one in sorted(types))
    rows = select_by(
        sql="SELECT DISTINCT e.profile_id FROM marketing_event e "  # noqa: S608 - numbers
        f"WHERE e.type_id IN ({kinds}) AND e.item IN {{values}}",
        values=items,
    )
    return {profile_id for (profile_id,) in rows} | _with_products(set(items), kinds)


def _with_products(items: set[str], kinds: str) -> set[int]:
    found: set[int] = set()
    text = "e.props::text" if is_postgres() else "e.props"
    sql = f"SELECT e.profile_id, {text} FROM marketing_event e WHERE e.type_id IN ({kinds}) AND e.item IS NULL"  # noqa: S608
    with streamed(sql, []) as lists:
        for rows in lists:
            for profile_id, props in rows:
                if profile_id not in found and props != "{}" and _names(orjson.loads(props), items):
                    found.add(profile_id)
    return found


def _names(props: dict[str, object], items: set[str]) -> bool:
    products = props.get("products")
    # What people search is matched with the names of categories: a new one may be what they meant.
    return isinstance(props.get("query"), str) or (
        isinstance(products, list)
        and any(
            isinstance(one, dict) and str(one.get("product_id") or one.get("sku") or "") in items for one in products
        )
    )
