"""A rule as SQL over the marketing tables: set-based, the same people on SQLite and on PostgreSQL.

Each condition is true or false, never NULL, so that NOT keeps nobody back (`NOT (NULL)` would drop everybody without
the value). Conditions on behaviour become `p.id IN (… GROUP BY … HAVING …)`: one pass over an index range, measured
six times as fast as one correlated count per profile over a million profiles.

For a few people there is `scope`, the name of a table with their ids: then every sub-query begins with that table and
looks each of them up in the index that starts with the profile, so that the cost follows their number and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from marketing.segmentation.clock import DAY, from_micros
from marketing.segmentation.rules import (
    SAMPLE_BUCKETS,
    All,
    AnyOf,
    EventCount,
    EventTime,
    Filter,
    HasConsent,
    InSegment,
    Node,
    Not,
    Sample,
    Sent,
    Trait,
)
from marketing.segmentation.vocabulary import (
    TEXT_PROPERTIES,
    VALUE_PROPERTIES,
    Kind,
    TraitSpec,
    Vocabulary,
    as_text,
    check,
    compare,
    micro,
    stored,
    values_of,
)

Dialect = Literal["sqlite", "postgresql"]
# Of these consents the profile keeps a copy of the current statement.
COPIED: Final = {"marketing_email": "p.marketing_ok", "objection": "p.is_objector"}
DELIVERED: Final = "sent"
_SIGNS: Final = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
TRUE: Final = "1 = 1"
FALSE: Final = "1 = 0"


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL condition on `marketing_profile p`, with its parameters (%s)."""

    sql: str
    params: tuple[Any, ...] = ()


def compile_rule(
    node: Node, *, vocabulary: Vocabulary, at: int, dialect: Dialect, scope: str | None = None
) -> Condition:
    """Return the rule as a condition; `at` (microseconds) is the now that windows reach back from.

    With a `scope` (a table with a column `id`) it is right for the people in that table only.
    """
    check(node, vocabulary)
    return _Compiler(vocabulary, at, dialect, scope).node(node)


def moment(micros: int, dialect: Dialect) -> Any:
    """Return a moment as a parameter that compares with a column of Django's datetimes."""
    at = from_micros(micros)
    return str(at.replace(tzinfo=None)) if dialect == "sqlite" else at


@dataclass(frozen=True, slots=True)
class _Compiler:
    vocabulary: Vocabulary
    at: int
    dialect: Dialect
    scope: str | None = None

    def node(self, node: Node) -> Condition:
        match node:
            case All(children):
                return self._joined(children, " AND ", TRUE)
            case AnyOf(children):
                return self._joined(children, " OR ", FALSE)
            case Not(child):
                inner = self.node(child)
                return Condition(f"NOT ({inner.sql})", inner.params)
            case _:
                return self._leaf(node)

    def _leaf(self, node: Node) -> Condition:
        match node:
            case Trait():
                return self._trait(node)
            case EventCount():
                return self._event_count(node)
            case EventTime():
                return self._event_time(node)
            case InSegment(slug):
                members = f"{self._rows('membership', 'm')} m.segment_id = %s"
                return Condition(f"p.id IN ({members})", (self.vocabulary.segments[slug],))
            case Sent():
                return self._sent(node)
            case HasConsent(purpose):
                return self._consent(purpose)
            case Sample():
                return self._sample(node)
            case _:
                raise TypeError(f"there is no condition {type(node).__name__}")

    def _rows(self, table: str, alias: str) -> str:
        """The beginning of a query for profiles of a table, up to its first condition; in a scope, for those in it.

        `CROSS JOIN` is the order in which SQLite then walks.
        """
        select = f"SELECT {alias}.profile_id FROM"
        if self.scope is None:
            return f"{select} marketing_{table} {alias} WHERE"
        return f"{select} {self.scope} x CROSS JOIN marketing_{table} {alias} WHERE {alias}.profile_id = x.id AND"

    def _joined(self, children: tuple[Node, ...], word: str, empty: str) -> Condition:
        if not children:
            return Condition(empty)
        parts = [self.node(child) for child in children]
        sql = word.join(f"({part.sql})" for part in parts)
        return Condition(sql, tuple(value for part in parts for value in part.params))

    def _trait(self, node: Trait) -> Condition:
        spec = self.vocabulary.traits[node.key]
        return self._column(node, spec) if spec.column else self._definition(node, spec)

    def _column(self, node: Trait, spec: TraitSpec) -> Condition:
        name = f"p.{spec.column}"
        known = TRUE if not spec.is_nullable else f"{name} <> ''" if spec.kind == Kind.TEXT else f"{name} IS NOT NULL"
        if node.op == "is_set":
            return Condition(known)
        if node.op == "is_not_set":
            return Condition(f"NOT ({known})")
        test = self._test(name, node, spec.kind)
        return test if known == TRUE else Condition(f"({known}) AND ({test.sql})", test.params)

    def _definition(self, node: Trait, spec: TraitSpec) -> Condition:
        name = "t.text" if spec.kind == Kind.TEXT else "t.number"
        # Known anyway, and the word by which the databases see that the index of these values will do.
        rows = f"{self._rows('profiletrait', 't')} t.definition_id = %s AND {name} IS NOT NULL"
        if node.op == "is_set":
            return Condition(f"p.id IN ({rows})", (spec.definition,))
        if node.op == "is_not_set":
            return Condition(f"p.id NOT IN ({rows})", (spec.definition,))
        test = self._test(name, node, spec.kind)
        params = (float(value) if isinstance(value, bool) else value for value in test.params)
        return Condition(f"p.id IN ({rows} AND {test.sql})", (spec.definition, *params))

    def _test(self, name: str, node: Trait, kind: Kind) -> Condition:
        """The comparison of a value that is known."""
        if node.op in ("within_days", "not_within_days"):
            assert isinstance(node.value, int | float)  # checked
            bound = self.at // DAY - int(node.value) if kind == Kind.DATE else self.at - round(node.value * DAY)
            return Condition(f"{name} {'>=' if node.op == 'within_days' else '<'} %s", (bound,))
        values = tuple(stored(kind, value) for value in values_of(node.value))
        return self._compared(name, node.op, values)

    def _compared(self, name: str, op: str, values: tuple[Any, ...]) -> Condition:
        if op in ("in", "not_in"):
            places = ", ".join(["%s"] * len(values))
            return Condition(f"{name} {'IN' if op == 'in' else 'NOT IN'} ({places})", values)
        if op == "contains":
            # Not LIKE: SQLite's ignores the case of ASCII letters, PostgreSQL's does not.
            function = "instr" if self.dialect == "sqlite" else "strpos"
            return Condition(f"{function}({name}, %s) > 0", values)
        if op == "starts_with":
            return Condition(f"substr({name}, 1, {len(values[0])}) = %s", values)
        return Condition(f"{name} {_SIGNS[op]} %s", values)

    def _event_count(self, node: EventCount) -> Condition:
        bound = micro(node.n) if node.measure == "sum" else node.n
        type_id = self.vocabulary.event_types.get(node.event)
        with_nothing = compare(node.op, 0, bound)
        if type_id is None:
            return Condition(TRUE if with_nothing else FALSE)
        # Whoever has no such event is in no group: if zero fulfils the condition, name those who do not.
        sign = _SIGNS[node.op]
        if node.days is None and node.until_days is None and not node.where:
            # The whole past is already counted, one row for each profile and type.
            measured = "a.total" if node.measure == "sum" else "a.n"
            test = f"NOT ({measured} {sign} %s)" if with_nothing else f"{measured} {sign} %s"
            rows = Condition(f"{self._rows('activity', 'a')} a.type_id = %s AND {test}", (type_id, bound))
        else:
            rows = self._groups(node, type_id, bound, negated=with_nothing)
        return Condition(f"p.id {'NOT IN' if with_nothing else 'IN'} ({rows.sql})", rows.params)

    def _event_time(self, node: EventTime) -> Condition:
        type_id = self.vocabulary.event_types.get(node.event)
        if type_id is None:
            return Condition(FALSE)
        sign = ">=" if node.op == "within_days" else "<"
        bound = self.at - round(node.days * DAY)
        if not node.where:
            rows = f"{self._rows('activity', 'a')} a.type_id = %s AND a.{node.end}_at {sign} %s"
            return Condition(f"p.id IN ({rows})", (type_id, bound))
        found = self._events(type_id, node.where)
        having = f"{'min' if node.end == 'first' else 'max'}(e.at) {sign} %s"
        return Condition(f"p.id IN ({found.sql} GROUP BY {self._group} HAVING {having})", (*found.params, bound))

    def _groups(self, node: EventCount, type_id: int, bound: float, *, negated: bool) -> Condition:
        found = self._events(type_id, node.where, node.days, node.until_days)
        if node.measure == "count" and not negated and (node.op, bound) in (("gte", 1), ("gt", 0)):
            return found  # once is enough: nothing to group
        measured = "COALESCE(sum(e.value), 0)" if node.measure == "sum" else "count(*)"
        test = f"{measured} {_SIGNS[node.op]} %s"
        having = f"NOT ({test})" if negated else test
        return Condition(f"{found.sql} GROUP BY {self._group} HAVING {having}", (*found.params, bound))

    @property
    def _group(self) -> str:
        # With both event indexes SQLite would walk (profile, type, at) for the order and skip through all profiles.
        return "e.profile_id + 0" if self.dialect == "sqlite" and self.scope is None else "e.profile_id"

    def _events(
        self, type_id: int, filters: tuple[Filter, ...], days: float | None = None, until_days: float | None = None
    ) -> Condition:
        """The profiles of a type's events, one row for each event."""
        where, params = ["e.type_id = %s"], [type_id]
        for sign, reach in ((">=", days), ("<", until_days)):
            if reach is not None:
                where.append(f"e.at {sign} %s")
                params.append(self.at - round(reach * DAY))
        for filter_ in filters:
            condition = self._filter(filter_)
            where.append(f"({condition.sql})")
            params += condition.params
        return Condition(f"{self._rows('event', 'e')} {' AND '.join(where)}", tuple(params))

    def _sent(self, node: Sent) -> Condition:
        rows = f"{self._rows('delivery', 'd')} d.campaign_id = %s AND d.status = '{DELIVERED}'"
        campaign = self.vocabulary.campaigns[node.campaign]
        if node.days is None:
            return Condition(f"p.id IN ({rows})", (campaign,))
        since = moment(self.at - round(node.days * DAY), self.dialect)
        return Condition(f"p.id IN ({rows} AND d.status_at >= %s)", (campaign, since))

    def _filter(self, node: Filter) -> Condition:
        values = values_of(node.value)
        if node.property in VALUE_PROPERTIES:
            return self._compared("e.value", node.op, tuple(micro(float(value)) for value in values))
        if node.property in TEXT_PROPERTIES:
            name = f"e.{TEXT_PROPERTIES[node.property]}"
            test = self._compared(name, node.op, tuple(as_text(value) for value in values))
            return Condition(f"{name} <> '' AND {test.sql}", test.params)
        if isinstance(values[0], str | bool):
            name, path = self._text_property(node.property)
            test = self._compared(name, node.op, tuple(as_text(value) for value in values))
        else:
            name, path = self._number_property(node.property)
            test = self._compared(name, node.op, values)
        return Condition(test.sql, (*path, *test.params))

    def _text_property(self, name: str) -> tuple[str, tuple[str, ...]]:
        """A property's text (yes and no as JSON writes them), NULL if it is something else."""
        if self.dialect == "sqlite":
            path = f'$."{name}"'
            text = "WHEN 'text' THEN json_extract(e.props, %s) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
            return (f"(CASE json_type(e.props, %s) {text} END)", (path, path))
        return (
            "(CASE WHEN jsonb_typeof(e.props -> %s) IN ('string', 'boolean') THEN e.props ->> %s END)",
            (name, name),
        )

    def _number_property(self, name: str) -> tuple[str, tuple[str, ...]]:
        """A property's number, NULL if it is something else."""
        if self.dialect == "sqlite":
            path = f'$."{name}"'
            return (
                "(CASE WHEN json_type(e.props, %s) IN ('integer', 'real') THEN json_extract(e.props, %s) END)",
                (path, path),
            )
        return ("(CASE WHEN jsonb_typeof(e.props -> %s) = 'number' THEN (e.props ->> %s)::numeric END)", (name, name))

    def _consent(self, purpose: str) -> Condition:
        if purpose in COPIED:
            return Condition(COPIED[purpose])
        return Condition(
            f"p.id IN ({self._rows('consent', 'c')} c.purpose = %s AND c.granted AND NOT EXISTS ("  # noqa: S608 - constants
            "SELECT 1 FROM marketing_consent l WHERE l.profile_id = c.profile_id AND l.purpose = c.purpose "
            "AND (l.at > c.at OR (l.at = c.at AND l.id > c.id))))",
            (purpose,),
        )

    def _sample(self, node: Sample) -> Condition:
        buckets = node.buckets
        if len(buckets) in (0, SAMPLE_BUCKETS):
            return Condition(TRUE if buckets else FALSE)
        return Condition(f"p.sample_bucket IN ({', '.join(map(str, buckets))})")
