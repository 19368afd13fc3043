"""The catalogue as columns, and what one strategy makes of it: once per state of the catalogue, not per slate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from recommender.models import Item
    from recommender.services.filters import Filters
    from recommender.services.rules import Rules

FOREVER = np.iinfo(np.int64).max


DRAFT = 0
"""In place of a version's number in the database: a design that is not stored, and not remembered."""


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What a slate shows of an item."""

    item_id: str
    title: str
    category: str
    price: int | None
    currency: str
    url: str
    image: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A strategy's filters and rules over the catalogue's rows."""

    allowed: NDArray[np.bool_]
    """Without what depends on time or person."""
    factor: NDArray[np.float32] | None
    """What scores are multiplied by; None: by one."""
    promoted: NDArray[np.bool_] | None
    pinned: tuple[int, ...]
    new: NDArray[np.int64]
    """Rows of the newest items, newest first: candidates for exploration where a model knows them not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All items by popularity, as columns."""

    generation: int
    items: tuple[CatalogueItem, ...]
    row_of: Mapping[str, int]
    is_active: NDArray[np.bool_]
    published: NDArray[np.int64]
    expires: NDArray[np.int64]
    first_seen: NDArray[np.int64]
    popularity: NDArray[np.float32]
    price: NDArray[np.int64]
    """Micro-units; −1 where there is none."""
    in_stock: NDArray[np.bool_]
    min_age: NDArray[np.int16]
    category: NDArray[np.int32]
    """A code per category."""
    mark_start: NDArray[np.int64]
    mark_codes: NDArray[np.int32]
    """Marks of all items, row after row: row i has `mark_codes[mark_start[i]:mark_start[i + 1]]`."""
    code_of: Mapping[str, int]
    """Code per mark (`category=…`, `brand=…`, `tag=…`)."""
    _applied: dict[int, Applied] = field(default_factory=dict)

    def allowed(self, *, at: int, applied: Applied, age: int) -> NDArray[np.bool_]:
        """Rows that may be shown at this time to somebody of this age (0: unknown)."""
        mask: NDArray[np.bool_] = applied.allowed & (self.published <= at) & (at < self.expires)
        if self.min_age.any():
            mask &= self.min_age <= age
        return mask

    def may_show(self, row: int, *, at: int) -> bool:
        """Whether one row may still be shown at this time, to anybody."""
        return bool(
            self.is_active[row]
            and self.in_stock[row]
            and not self.min_age[row]
            and self.published[row] <= at < self.expires[row]
        )

    def applied(self, *, version_id: int, filters: Filters, rules: Rules) -> Applied:
        """What a version of a strategy makes of this catalogue; remembered with it."""
        known = self._applied.get(version_id)
        if known is None:
            known = _apply(self, filters, rules)
            if version_id != DRAFT:
                self._applied[version_id] = known
        return known

    def marked(self, marks: Sequence[str]) -> NDArray[np.bool_]:
        """Rows that carry at least one of the marks; `item=…` means one row."""
        mask = np.zeros(len(self.items), dtype=bool)
        codes = [self.code_of[mark] for mark in marks if mark in self.code_of]
        if codes:
            owner = np.repeat(np.arange(len(self.items)), np.diff(self.mark_start))
            mask[owner[np.isin(self.mark_codes, codes)]] = True
        named = (mark.removeprefix("item=") for mark in marks if mark.startswith("item="))
        mask[[self.row_of[name] for name in named if name in self.row_of]] = True
        return mask

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """One row of length 1 per item over its marks; products of rows are cosines. Items without marks are zero."""
        starts, lengths = self.mark_start[rows], self.mark_start[rows + 1] - self.mark_start[rows]
        owner = np.repeat(np.arange(rows.size), lengths)
        offsets = np.cumsum(lengths) - lengths
        codes = self.mark_codes[np.arange(owner.size) - np.repeat(offsets - starts, lengths)]
        distinct, column = np.unique(codes, return_inverse=True)
        table = np.zeros((rows.size, distinct.size))
        table[owner, column] = 1.0 / np.sqrt(np.maximum(lengths, 1))[owner]
        return table


def build_catalogue(rows: Iterable[Item], *, generation: int) -> Catalogue:
    """The columns of items that come by popularity."""
    items: list[CatalogueItem] = []
    numbers: list[tuple[bool, int, int, int, float, int, bool, int, int]] = []
    code_of: dict[str, int] = {}
    categories: dict[str, int] = {}
    lengths: list[int] = [0]
    codes: list[int] = []
    for row in rows:
        items.append(CatalogueItem(row.item_id, row.title, row.category, row.price, row.currency, row.url, row.image))
        numbers.append(
            (
                row.is_active,
                micros(row.published_at) if row.published_at else 0,
                micros(row.expires_at) if row.expires_at else FOREVER,
                micros(row.published_at or row.created_at),
                row.popularity,
                -1 if row.price is None else row.price,
                row.stock != 0,
                row.min_age,
                categories.setdefault(row.category, len(categories)),
            )
        )
        mine = {f"{kind}={value}" for kind, value in (("category", row.category), ("brand", row.brand)) if value}
        mine |= {f"tag={tag}" for tag in row.tags}
        codes += [code_of.setdefault(mark, len(code_of)) for mark in sorted(mine)]
        lengths.append(len(mine))
    columns = list(zip(*numbers, strict=True)) or [()] * 9
    return Catalogue(
        generation=generation,
        items=tuple(items),
        row_of={item.item_id: index for index, item in enumerate(items)},
        is_active=np.array(columns[0], dtype=bool),
        published=np.array(columns[1], dtype=np.int64),
        expires=np.array(columns[2], dtype=np.int64),
        first_seen=np.array(columns[3], dtype=np.int64),
        popularity=np.array(columns[4], dtype=np.float32),
        price=np.array(columns[5], dtype=np.int64),
        in_stock=np.array(columns[6], dtype=bool),
        min_age=np.array(columns[7], dtype=np.int16),
        category=np.array(columns[8], dtype=np.int32),
        mark_start=np.cumsum(lengths, dtype=np.int64),
        mark_codes=np.array(codes, dtype=np.int32),
        code_of=code_of,
    )


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return int(moment.timestamp() * 1_000_000)


def _apply(catalogue: Catalogue, filters: Filters, rules: Rules) -> Applied:
    allowed = catalogue.is_active.copy()
    if not filters.show_out_of_stock:
        allowed &= catalogue.in_stock
    if filters.hide_age_restricted:
        allowed &= catalogue.min_age == 0
    if filters.categories:
        allowed &= catalogue.marked([f"category={name}" for name in filters.categories])
    unwanted = [f"category={name}" for name in filters.exclude_categories]
    unwanted += [f"tag={name}" for name in filters.exclude_tags]
    unwanted += [f"item={name}" for name in filters.blocked]
    if unwanted:
        allowed &= ~catalogue.marked(unwanted)
    if filters.price_min is not None:
        allowed &= (catalogue.price >= 0) & (catalogue.price >= filters.price_min)
    if filters.price_max is not None:
        allowed &= (catalogue.price >= 0) & (catalogue.price <= filters.price_max)
    newest = np.argsort(-catalogue.first_seen, kind="stable") if rules.new_items else np.empty(0, dtype=np.int64)
    return Applied(
        allowed=allowed,
        factor=_factor(catalogue, rules),
        promoted=catalogue.marked(rules.promoted) if rules.promoted and rules.promoted_percent else None,
        pinned=tuple(catalogue.row_of[name] for name in rules.pinned if name in catalogue.row_of),
        new=newest,
    )


def _factor(catalogue: Catalogue, rules: Rules) -> NDArray[np.float32] | None:
    if not (rules.boosted or rules.buried or rules.damping_percent):
        return None
    factor = np.ones(len(catalogue.items), dtype=np.float32)
    if rules.boosted:
        factor[catalogue.marked(rules.boosted)] *= 1.0 + rules.boost_percent / 100
    if rules.buried:
        factor[catalogue.marked(rules.buried)] *= 1.0 - rules.bury_percent / 100
    if rules.damping_percent:
        factor /= (1.0 + np.maximum(catalogue.popularity, 0.0)) ** (rules.damping_percent / 100)
    return factor
