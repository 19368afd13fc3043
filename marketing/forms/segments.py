"""The builder of segments: groups of conditions, as a form that works without any script of its own.

The whole state is in the form. A button that adds or removes something posts it, and the server answers with the
builder as it is now; saving posts the same fields.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from marketing.choices import Purpose
from marketing.segmentation.rules import (
    AGO_OPS,
    PRESENCE_OPS,
    SCHEMA,
    SET_OPS,
)
from marketing.segmentation.vocabulary import OPS, Kind, Vocabulary
from marketing.selectors.rule_words import COUNT_WORDS, OP_WORDS, Names

MOST_ROWS: Final = 60
ROW_FIELDS: Final = (
    "group",
    "kind",
    "key",
    "negated",
    "op",
    "value",
    "n",
    "days",
    "measure",
    "property",
    "property_op",
    "property_value",
)
PROPERTY_OPS: Final = ("eq", "ne", "contains", "starts_with", "in")
MATCHES: Final = (("all", gettext_lazy("all of these")), ("any", gettext_lazy("at least one of these")))


class SegmentForm(forms.Form):
    """What a segment is called."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    description = forms.CharField(
        label=gettext_lazy("Description"), required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )


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


@dataclass(slots=True)
class Builder:
    """The conditions in groups; `match` says how the groups count together."""

    match: str = "all"
    groups: list[Group] = field(default_factory=list)

    @property
    def rows_n(self) -> int:
        return sum(len(group.rows) for group in self.groups)


def new_builder() -> Builder:
    return Builder(groups=[_new_group()])


def _new_group() -> Group:
    return Group(id=f"g{secrets.token_hex(3)}", is_new=True)


def read_builder(data: QueryDict) -> Builder:
    """Return the builder's state out of posted fields; what does not fit together is left out."""
    builder = Builder(match="any" if data.get("match") == "any" else "all")
    ids, matches = data.getlist("group_id"), data.getlist("group_match")
    for id_, match in zip(ids, matches, strict=False):
        builder.groups.append(Group(id=id_[:20], match="any" if match == "any" else "all"))
    by_id = {group.id: group for group in builder.groups}
    columns = [data.getlist(f"row_{name}") for name in ROW_FIELDS]
    for values in zip(*columns, strict=False):
        given = dict(zip(ROW_FIELDS, values, strict=True))
        group = by_id.get(given.pop("group"))
        if group is not None and builder.rows_n < MOST_ROWS:
            group.rows.append(Row(**given))
    if not builder.groups:
        builder.groups.append(_new_group())
    return builder


def act(builder: Builder, action: str, data: QueryDict) -> None:
    """Do what a button says: `add:GROUP`, `remove:GROUP:ROW`, `add-group` or `remove-group:GROUP`."""
    name, _sign, rest = action.partition(":")
    group_id, _sign, number = rest.partition(":")
    group = next((one for one in builder.groups if one.id == group_id), None)
    if name == "add-group":
        builder.groups.append(_new_group())
    elif group is None:
        return
    elif name == "add":
        kind, _sign, key = data.get(f"new_{group.id}", "").partition(":")
        if kind and builder.rows_n < MOST_ROWS:
            group.rows.append(Row(kind=kind, key=key, is_new=True))
    elif name == "remove" and number.isdecimal() and int(number) < len(group.rows):
        del group.rows[int(number)]
    elif name == "remove-group" and len(builder.groups) > 1:
        builder.groups.remove(group)


def rule_of(builder: Builder, words: Vocabulary) -> dict[str, Any] | None:
    """Return the rule that the rows say; None if one cannot be read (its `error` says why)."""
    groups: list[dict[str, Any]] = []
    is_good = True
    for group in builder.groups:
        nodes = []
        for row in group.rows:
            try:
                node = _node(row, words)
            except ValueError as error:
                row.error = str(error)
                is_good = False
                continue
            nodes.append({"not": node} if row.negated else node)
        if group.rows:
            groups.append({group.match: nodes})
    if not is_good:
        return None
    root = groups[0] if len(groups) == 1 else {builder.match if groups else "all": groups}
    return {"schema": SCHEMA, "root": root}


def _node(row: Row, words: Vocabulary) -> dict[str, Any]:
    if row.kind == "trait":
        return _trait_node(row, words)
    if row.kind == "event":
        return _event_node(row)
    if row.kind == "segment":
        return {"in_segment": row.key}
    if row.kind == "consent":
        return {"consent": row.key}
    if row.kind == "sample":
        return {"sample": {"salt": row.value.strip() or "sample", "percent": _number(row.n, _("How many per cent?"))}}
    raise ValueError(_("This condition is not known here."))


def _trait_node(row: Row, words: Vocabulary) -> dict[str, Any]:
    spec = words.traits.get(row.key)
    if spec is None or row.op not in OPS[spec.kind]:
        raise ValueError(_("Choose how to compare."))
    node: dict[str, Any] = {"trait": row.key, "op": row.op}
    if row.op in PRESENCE_OPS:
        return node
    if not row.value.strip():
        raise ValueError(_("A value is missing."))
    if row.op in AGO_OPS:
        node["value"] = _number(row.value, _("How many days?"))
    elif row.op in SET_OPS:
        node["value"] = [_typed(part.strip(), spec.kind) for part in row.value.split(",") if part.strip()]
    else:
        node["value"] = _typed(row.value.strip(), spec.kind)
    return node


def _event_node(row: Row) -> dict[str, Any]:
    node: dict[str, Any] = {
        "event": row.key,
        "op": row.op if row.op in COUNT_WORDS else "gte",
        "n": _number(row.n, _("How often?")),
    }
    if row.measure == "sum":
        node["measure"] = "sum"
    if row.days.strip():
        node["days"] = _number(row.days, _("In how many days?"))
    if row.property.strip():
        if not row.property_value.strip():
            raise ValueError(_("A value of the property is missing."))
        op = row.property_op if row.property_op in PROPERTY_OPS else "eq"
        text = row.property_value.strip()
        value: Any = [part.strip() for part in text.split(",") if part.strip()] if op == "in" else text
        node["where"] = [{"property": row.property.strip(), "op": op, "value": value}]
    return node


def _typed(text: str, kind: Kind) -> Any:
    if kind == Kind.BOOLEAN:
        return text == "true"
    if kind in (Kind.NUMBER, Kind.MONEY):
        return _number(text, _("This must be a number."))
    return text


def _number(text: str, problem: str) -> float:
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        raise ValueError(problem) from None
    return int(number) if number.is_integer() else number


def builder_of(rule: dict[str, Any]) -> Builder | None:
    """Return the rows of a rule; None if it says more than the builder can show."""
    root: dict[str, Any] = rule["root"]
    match = _match_of(root)
    if not match:
        root, match = {"all": [root]}, "all"
    nested = [child for child in root[match] if _match_of(child)]
    single = [child for child in root[match] if not _match_of(child)]
    # Conditions beside groups are a group of their own that counts as they do.
    listed = ([{match: single}] if single or not nested else []) + nested
    groups = [_group_of(child) for child in listed]
    known = [group for group in groups if group is not None]
    return Builder(match=match, groups=known) if len(known) == len(groups) else None


def _match_of(node: dict[str, Any]) -> str:
    return next((key for key in ("all", "any") if key in node), "")


def _group_of(node: dict[str, Any]) -> Group | None:
    match = _match_of(node)
    rows = [_row_of(child) for child in node[match]]
    if None in rows:
        return None
    return Group(id=_new_group().id, match=match, rows=[row for row in rows if row is not None])


def _row_of(node: dict[str, Any]) -> Row | None:
    negated = ""
    if "not" in node:
        node, negated = node["not"], "1"
    row = None
    if "trait" in node:
        value = node.get("value", "")
        shown = ", ".join(map(str, value)) if isinstance(value, list) else _shown(value)
        row = Row(kind="trait", key=node["trait"], op=node["op"], value=shown)
    elif "event" in node:
        row = _event_row(node)
    elif "in_segment" in node:
        row = Row(kind="segment", key=node["in_segment"])
    elif "consent" in node:
        row = Row(kind="consent", key=node["consent"])
    elif "sample" in node:
        row = Row(kind="sample", key="", value=node["sample"]["salt"], n=_shown(node["sample"]["percent"]))
    if row is not None:
        row.negated = negated
    return row


def _event_row(node: dict[str, Any]) -> Row | None:
    filters = node.get("where", [])
    row = Row(
        kind="event",
        key=node["event"],
        op=node["op"],
        n=_shown(node["n"]),
        days=_shown(node.get("days", "")),
        measure=node.get("measure", "count"),
    )
    if not filters:
        return row
    (first, *more) = filters
    values = first["value"] if isinstance(first["value"], list) else [first["value"]]
    if more or first["op"] not in PROPERTY_OPS or not all(isinstance(value, str) for value in values):
        return None
    row.property, row.property_op, row.property_value = first["property"], first["op"], ", ".join(values)
    return row


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a page offers for new conditions and for the parts of each."""

    traits: list[tuple[str, str]]
    events: list[str]
    segments: list[tuple[str, str]]
    purposes: list[tuple[str, str]]


def choices(words: Vocabulary, known: Names, *, without: str = "") -> Choices:
    """Return the conditions that can be added; a segment cannot refer to itself."""
    return Choices(
        traits=sorted(((key, known.traits[key]) for key in words.traits), key=lambda pair: pair[1].lower()),
        events=sorted(words.event_types),
        segments=sorted(
            ((slug, known.segments[slug]) for slug in words.segments if slug != without), key=lambda pair: pair[1]
        ),
        purposes=[(purpose.value, str(purpose.label)) for purpose in Purpose],
    )


@dataclass(frozen=True, slots=True)
class RowView:
    """A row with what its controls offer."""

    row: Row
    number: int
    id: str
    name: str
    ops: list[tuple[str, str]]
    input_type: str


def row_views(group: Group, words: Vocabulary, known: Names) -> list[RowView]:
    """Return the rows of a group for the template."""
    views = []
    for number, row in enumerate(group.rows):
        spec = words.traits.get(row.key) if row.kind == "trait" else None
        ops = OPS[spec.kind] if spec is not None else tuple(COUNT_WORDS) if row.kind == "event" else ()
        labels = COUNT_WORDS if row.kind == "event" else OP_WORDS
        name = {"trait": known.traits.get(row.key, row.key), "segment": known.segments.get(row.key, row.key)}
        purpose = dict(Purpose.choices).get(row.key, row.key)
        views.append(
            RowView(
                row=row,
                number=number,
                id=f"{group.id}-{number}",
                name=name.get(row.kind, str(purpose)),
                ops=[(op, str(labels[op])) for op in ops],
                input_type=_input_type(spec.kind if spec is not None else None, row.op),
            )
        )
    return views


def _input_type(kind: Kind | None, op: str) -> str:
    if kind == Kind.BOOLEAN:
        return "boolean"
    if kind in (Kind.NUMBER, Kind.MONEY) and op not in SET_OPS:
        return "number"
    if kind == Kind.MOMENT or op in AGO_OPS:
        return "number"
    return "text"
