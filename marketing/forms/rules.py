"""Between a rule and the rows that the builder shows of it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from marketing.forms.builder import (
    BOUND_OPS,
    DEEPEST,
    MOST_GROUPS,
    MOST_ROWS,
    NEGATED,
    PROPERTY_OPS,
    Builder,
    Group,
    Row,
    new_group,
)
from marketing.segmentation.rules import AGO_OPS, ENDS, PRESENCE_OPS, SCHEMA, SET_OPS
from marketing.segmentation.vocabulary import OPS, VALUE_PROPERTIES, Kind, Vocabulary
from marketing.selectors.rule_words import COUNT_WORDS


def rule_of(builder: Builder, words: Vocabulary) -> dict[str, Any] | None:
    """Return the rule that the rows say; None if one cannot be read (its `error` says why)."""
    groups = [node for group in builder.inside("") if (node := _group_node(builder, group, words)) is not None]
    if any(row.error for group in builder.groups for row in group.rows):
        return None
    if len(groups) == 1 and builder.match in ("all", "any"):
        return {"schema": SCHEMA, "root": groups[0]}
    return {"schema": SCHEMA, "root": _matched(builder.match if groups else "all", groups)}


def _group_node(builder: Builder, group: Group, words: Vocabulary) -> dict[str, Any] | None:
    """What a group says, with those inside it; None of an empty one."""
    nodes = []
    for row in group.rows:
        try:
            node = _node(row, words)
        except ValueError as error:
            row.error = str(error)
            continue
        nodes.append({"not": node} if row.negated else node)
    for one in builder.inside(group.id):
        inner = _group_node(builder, one, words)
        if inner is not None:
            nodes.append(inner)
    has_any = group.rows or nodes
    return _matched(group.match, nodes) if has_any else None


def _matched(match: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"not": {NEGATED[match]: nodes}} if match in NEGATED else {match: nodes}


def _node(row: Row, words: Vocabulary) -> dict[str, Any]:
    if row.kind == "trait":
        return _trait_node(row, words)
    if row.kind == "event":
        return _event_node(row)
    if row.kind in ENDS:
        op = row.op if row.op in AGO_OPS else AGO_OPS[0]
        node = {row.kind: row.key, "op": op, "value": _number(row.value, _("How many days?"))}
        return {**node, **_where(row)}
    if row.kind == "segment":
        return {"in_segment": row.key}
    if row.kind == "consent":
        return {"consent": row.key}
    if row.kind == "sent":
        days = {"days": _number(row.days, _("In how many days?"))} if row.days.strip() else {}
        return {"sent": row.key, **days}
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
    if row.until.strip():
        node["until_days"] = _number(row.until, _("Until how many days ago?"))
    return {**node, **_where(row)}


def _where(row: Row) -> dict[str, Any]:
    """The condition on a property, if there is one."""
    if not row.property.strip():
        return {}
    if not row.property_value.strip():
        raise ValueError(_("A value of the property is missing."))
    op = row.property_op if row.property_op in PROPERTY_OPS else "eq"
    text = row.property_value.strip()
    value: Any = [part.strip() for part in text.split(",") if part.strip()] if op == "in" else text
    if op in BOUND_OPS or row.property.strip() in VALUE_PROPERTIES:
        value = _number(text, _("This must be a number."))
    return {"where": [{"property": row.property.strip(), "op": op, "value": value}]}


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
    match, children = _read_group(root)
    if not match or match in NEGATED:
        match, children = "all", [root]
    nested = [child for child in children if _read_group(child)[0]]
    single = [child for child in children if not _read_group(child)[0]]
    # Conditions beside groups are a group of their own that counts as they do.
    listed = ([{match: single}] if single or not nested else []) + nested
    builder = Builder(match=match)
    for child in listed:
        if not _add_group(builder, child, "", match) or len(builder.groups) > MOST_GROUPS or builder.rows_n > MOST_ROWS:
            return None
    return builder


def _read_group(node: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """How the parts of a node count together, and the parts; of a single condition nothing."""
    inner = node.get("not", node)
    match = next((key for key in ("all", "any") if key in inner), "")
    if not match:
        return "", []
    negated = {positive: name for name, positive in NEGATED.items()}
    return (negated[match] if "not" in node else match), inner[match]


def _add_group(builder: Builder, node: dict[str, Any], parent: str, around: str) -> bool:
    """Add what a node says, and what is inside; tell whether the builder can show it."""
    match, children = _read_group(node)
    if all(map(_is_empty, children)) and not _goes_without_saying(match, around):
        return False
    group = Group(id=new_group().id, match=match, parent=parent)
    builder.groups.append(group)
    if builder.depth(group) > DEEPEST:
        return False
    for child in children:
        if not _read_group(child)[0]:
            row = _row_of(child)
            if row is None:
                return False
            group.rows.append(row)
    return all(_add_group(builder, child, group.id, match) for child in children if _read_group(child)[0])


def _is_empty(node: dict[str, Any]) -> bool:
    """Whether a node is a group without a condition in it, at any depth: saving leaves it out."""
    match, children = _read_group(node)
    return bool(match) and all(map(_is_empty, children))


def _goes_without_saying(match: str, around: str) -> bool:
    """Whether an empty group can be left out of the group around it, as the builder does when it saves."""
    return match in ("all", "none") and around in ("all", "not_all")


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
    elif "first" in node or "last" in node:
        row = _time_row(node)
    elif "sent" in node:
        row = Row(kind="sent", key=node["sent"], days=_shown(node.get("days", "")))
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
    row = Row(
        kind="event",
        key=node["event"],
        op=node["op"],
        n=_shown(node["n"]),
        days=_shown(node.get("days", "")),
        until=_shown(node.get("until_days", "")),
        measure=node.get("measure", "count"),
    )
    return row if _show_filters(row, node) else None


def _time_row(node: dict[str, Any]) -> Row | None:
    end = next(one for one in ENDS if one in node)
    row = Row(kind=end, key=node[end], op=node["op"], value=_shown(node["value"]))
    return row if _show_filters(row, node) else None


def _show_filters(row: Row, node: dict[str, Any]) -> bool:
    """Put the condition on a property into the row; tell whether the row can show what the node says."""
    filters = node.get("where", [])
    if not filters:
        return True
    (first, *more) = filters
    values = first["value"] if isinstance(first["value"], list) else [first["value"]]
    is_number = first["op"] in BOUND_OPS or first["property"] in VALUE_PROPERTIES
    kinds = int | float if is_number else str
    is_plain = all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)
    if more or first["op"] not in PROPERTY_OPS or not is_plain or (is_number and first["op"] == "in"):
        return False
    row.property, row.property_op = first["property"], first["op"]
    row.property_value = ", ".join(_shown(value) for value in values)
    return True


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
