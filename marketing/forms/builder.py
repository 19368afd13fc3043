"""The builder of segments: groups of conditions, as a form that works without any script of its own.

The whole state is in the form. A button that adds or removes something posts it, and the server answers with the
builder as it is now; saving posts the same fields.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from django.http import QueryDict
from django.utils.translation import gettext_lazy

MOST_ROWS: Final = 60
MOST_GROUPS: Final = 20
DEEPEST: Final = 4  # levels of groups: beyond that nobody sees what belongs to what
BOUND_OPS: Final = ("gt", "gte", "lt", "lte")
ROW_FIELDS: Final = (
    "group",
    "kind",
    "key",
    "negated",
    "op",
    "value",
    "n",
    "days",
    "until",
    "measure",
    "property",
    "property_op",
    "property_value",
)
PROPERTY_OPS: Final = ("eq", "ne", "contains", "starts_with", "in", *BOUND_OPS)
MATCHES: Final = (
    ("all", gettext_lazy("all of these")),
    ("any", gettext_lazy("at least one of these")),
    ("none", gettext_lazy("none of these")),
    ("not_all", gettext_lazy("not all of these")),
)
# What the last two are in a rule.
NEGATED: Final = {"none": "any", "not_all": "all"}


@dataclass(slots=True)
class Row:
    """One condition as typed."""

    kind: str
    key: str
    negated: str = ""
    op: str = ""
    value: str = ""
    n: str = "1"
    days: str = ""
    until: str = ""
    measure: str = "count"
    property: str = ""
    property_op: str = "eq"
    property_value: str = ""
    error: str = ""
    is_new: bool = False


@dataclass(slots=True)
class Group:
    id: str
    match: str = "all"
    rows: list[Row] = field(default_factory=list)
    is_new: bool = False
    parent: str = ""
    """The group that it is in; empty: in none."""


@dataclass(slots=True)
class Builder:
    """The conditions in groups, each before those inside it; `match` says how the outer ones count together."""

    match: str = "all"
    groups: list[Group] = field(default_factory=list)

    @property
    def rows_n(self) -> int:
        return sum(len(group.rows) for group in self.groups)

    def inside(self, parent: str) -> list[Group]:
        """Return the groups that are directly in a group; of the empty name the outer ones."""
        return [group for group in self.groups if group.parent == parent]

    def depth(self, group: Group) -> int:
        """Return how many groups a group is in, and itself."""
        parents = {one.id: one.parent for one in self.groups}
        depth, here = 1, group.parent
        while here:
            depth, here = depth + 1, parents[here]
        return depth


def new_builder() -> Builder:
    return Builder(groups=[new_group()])


def new_group(parent: str = "") -> Group:
    """Return an empty group with a name of its own."""
    return Group(id=f"g{secrets.token_hex(3)}", is_new=True, parent=parent)


def read_builder(data: QueryDict) -> Builder:
    """Return the builder's state out of posted fields; what does not fit together is left out."""
    known = dict(MATCHES)
    builder = Builder(match=_one_of(known, data.get("match", "")))
    ids, matches, parents = (data.getlist(f"group_{name}") for name in ("id", "match", "parent"))
    by_id: dict[str, Group] = {}
    for id_, match, parent in list(zip_longest(ids, matches, parents, fillvalue=""))[:MOST_GROUPS]:
        # A group comes after the one that it is in: whatever else is said of it, it is an outer one.
        group = Group(id=id_[:20], match=_one_of(known, match), parent=parent if parent in by_id else "")
        if group.id and group.id not in by_id:
            by_id[group.id] = group
            builder.groups.append(group)
    columns = [data.getlist(f"row_{name}") for name in ROW_FIELDS]
    for values in zip(*columns, strict=False):
        given = dict(zip(ROW_FIELDS, values, strict=True))
        owner = by_id.get(given.pop("group"))
        if owner is not None and builder.rows_n < MOST_ROWS:
            owner.rows.append(Row(**given))
    if not builder.groups:
        builder.groups.append(new_group())
    return builder


def act(builder: Builder, action: str, data: QueryDict) -> None:
    """Do what a button says: `add:GROUP`, `remove:GROUP:ROW`, `add-group`, `nest:GROUP` or `remove-group:GROUP`."""
    name, _sign, rest = action.partition(":")
    group_id, _sign, number = rest.partition(":")
    group = next((one for one in builder.groups if one.id == group_id), None)
    if name == "add-group":
        if len(builder.groups) < MOST_GROUPS:
            builder.groups.append(new_group())
    elif group is None:
        return
    elif name == "add":
        kind, _sign, key = data.get(f"new_{group.id}", "").partition(":")
        if kind and builder.rows_n < MOST_ROWS:
            group.rows.append(Row(kind=kind, key=key, is_new=True))
    elif name == "remove" and number.isdecimal() and int(number) < len(group.rows):
        del group.rows[int(number)]
    elif name == "nest" and len(builder.groups) < MOST_GROUPS and builder.depth(group) < DEEPEST:
        _put_inside(builder, group)
    elif name == "remove-group" and (group.parent or len(builder.inside("")) > 1):
        _take_out(builder, group)


def _put_inside(builder: Builder, group: Group) -> None:
    """Add a group in a group, behind what is in it already."""
    last = group
    while inside := builder.inside(last.id):
        last = inside[-1]
    builder.groups.insert(builder.groups.index(last) + 1, new_group(group.id))


def _take_out(builder: Builder, group: Group) -> None:
    for one in builder.inside(group.id):
        _take_out(builder, one)
    builder.groups.remove(group)


def _one_of(known: Mapping[str, Any], value: str) -> str:
    return value if value in known else "all"
