"""The SQL form of a targeting rule of experiments: the profiles that it matches, the same on both databases.

It means what `experiments.targeting` writes down, of the attributes that `attributes_of` gives a profile. Each
condition is true or false, never NULL, so that `not` keeps nobody back.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from experiments.ports import targeting
from marketing.segmentation.compiler import FALSE, TRUE, Condition, Dialect
from marketing.segmentation.vocabulary import MICRO, Kind, TraitSpec, Vocabulary

SEGMENTS: Final = "segments"
_SIGNS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_FIRST_ASTRAL: Final = 0x10000
_AFTER_SURROGATES: Final = 0xE000
_LAST_BEFORE_SURROGATES: Final = "\ud7ff"
# A moment is kept in microseconds, which no rule of a client speaks of; an address is nobody else's business.
_KEPT_BACK: Final = frozenset(("email", "first_seen_at", "last_seen_at"))


def exposed_traits(traits: Mapping[str, TraitSpec]) -> dict[str, TraitSpec]:
    """The traits that are attributes of a profile, by name."""
    return {name: spec for name, spec in traits.items() if name not in _KEPT_BACK and name != SEGMENTS}


def attributes_of(
    values: Mapping[str, Any],
    *,
    specs: Mapping[str, TraitSpec],
    traits: Mapping[int, Any],
    segments: Iterable[str],
) -> dict[str, Any]:
    """The attributes of one profile: `values` by column, `traits` by definition (text or number), and its segments.

    `specs` are the exposed traits by name.
    """
    attributes: dict[str, Any] = {SEGMENTS: sorted(segments)}
    for name, spec in specs.items():
        value = values[spec.column] if spec.column else traits.get(spec.definition)
        if value is not None and value != "":
            attributes[name] = _plain(spec.kind, value)
    return attributes


def _plain(kind: Kind, value: Any) -> Any:
    if kind == Kind.BOOLEAN:
        return bool(value)
    return value / MICRO if kind == Kind.MONEY else value


def compile_targeting(rule: targeting.Rule, *, vocabulary: Vocabulary, dialect: Dialect) -> Condition:
    """Return the rule as a condition on `marketing_profile p`."""
    return _Compiler(exposed_traits(vocabulary.traits), vocabulary.segments, dialect).rule(rule)


@dataclass(frozen=True, slots=True)
class _Compiler:
    traits: Mapping[str, TraitSpec]
    segments: Mapping[str, int]
    dialect: Dialect

    def rule(self, rule: targeting.Rule) -> Condition:
        match rule:
            case targeting.All(rules):
                return _joined([self.rule(child) for child in rules], " AND ", TRUE)
            case targeting.AnyOf(rules):
                return _joined([self.rule(child) for child in rules], " OR ", FALSE)
            case targeting.Not(child):
                return _negated(self.rule(child))
            case _:
                return self._condition(rule)

    def _condition(self, rule: targeting.Condition) -> Condition:
        if rule.op in ("ne", "not_in"):
            positive = targeting.Condition(rule.attribute, "eq" if rule.op == "ne" else "in", rule.value)
            return _negated(self._condition(positive))
        if rule.op == "exists" and rule.value is False:
            return _negated(self._condition(targeting.Condition(rule.attribute, "exists", value=True)))
        if rule.attribute == SEGMENTS:
            return self._segments(rule)
        spec = self.traits.get(rule.attribute)
        # A trait is one value: it contains nothing.
        if spec is None or rule.op == "contains":
            return Condition(FALSE)
        if rule.op == "exists":
            return self._about(spec, Condition(TRUE))
        test = self._test(spec, rule)
        return Condition(FALSE) if test.sql == FALSE else self._about(spec, test)

    def _segments(self, rule: targeting.Condition) -> Condition:
        """The list of segments: it is always there, equals nothing and has no order."""
        if rule.op == "exists":
            return Condition(TRUE)
        if rule.op not in ("contains", "in"):
            return Condition(FALSE)
        wanted = rule.value if isinstance(rule.value, tuple) else (rule.value,)
        ids = [self.segments[name] for name in wanted if isinstance(name, str) and name in self.segments]
        if not ids:
            return Condition(FALSE)
        places = ", ".join(["%s"] * len(ids))
        members = f"SELECT m.profile_id FROM marketing_membership m WHERE m.segment_id IN ({places})"  # noqa: S608 - places
        return Condition(f"p.id IN ({members})", tuple(ids))

    def _about(self, spec: TraitSpec, test: Condition) -> Condition:
        """The profiles whose value is known and passes."""
        if not spec.column:
            # Each kind of value has an index of its own, of the rows that have one.
            kept = "t.text" if spec.kind == Kind.TEXT else "t.number"
            rows = (
                f"SELECT t.profile_id FROM marketing_profiletrait t WHERE t.definition_id = %s AND {kept} IS NOT NULL"  # noqa: S608 - constants
            )
            return Condition(f"p.id IN ({rows} AND ({test.sql}))", (spec.definition, *test.params))
        name = f"p.{spec.column}"
        known = TRUE if not spec.is_nullable else f"{name} <> ''" if spec.kind == Kind.TEXT else f"{name} IS NOT NULL"
        return _joined([Condition(known), test], " AND ", TRUE)

    def _test(self, spec: TraitSpec, rule: targeting.Condition) -> Condition:
        """The comparison of a known value; FALSE where the types differ, which never mix."""
        if rule.op in ("eq", "in"):
            values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
            return _joined([self._equal(spec, value) for value in values], " OR ", FALSE)
        assert not isinstance(rule.value, tuple | bool)  # the parser lets neither have an order
        if isinstance(rule.value, str):
            return self._text_order(spec, rule.op, rule.value) if spec.kind == Kind.TEXT else Condition(FALSE)
        if spec.kind in (Kind.TEXT, Kind.BOOLEAN):
            return Condition(FALSE)
        return Condition(f"{self._number(spec)} {_SIGNS[rule.op]} %s", (_bound(rule.op, rule.value),))

    def _equal(self, spec: TraitSpec, value: targeting.Scalar) -> Condition:
        if spec.kind == Kind.TEXT:
            return Condition(f"{_text(spec)} = %s", (value,)) if isinstance(value, str) else Condition(FALSE)
        if spec.kind == Kind.BOOLEAN:
            return self._is(spec, value) if isinstance(value, bool) else Condition(FALSE)
        if isinstance(value, str | bool) or not _is_exact(value):
            return Condition(FALSE)
        return Condition(f"{self._number(spec)} = %s", (float(value),))

    @staticmethod
    def _is(spec: TraitSpec, value: bool) -> Condition:
        if not spec.column:
            return Condition("t.number = %s", (float(value),))
        return Condition(f"p.{spec.column}" if value else f"NOT p.{spec.column}")

    def _number(self, spec: TraitSpec) -> str:
        if spec.kind != Kind.MONEY:
            return f"p.{spec.column}" if spec.column else "t.number"
        return f"CAST(p.{spec.column} AS {'REAL' if self.dialect == 'sqlite' else 'float8'}) / {MICRO}"

    def _text_order(self, spec: TraitSpec, op: str, value: str) -> Condition:
        name = _text(spec)
        below = self._below(name, value)
        if op == "lt":
            return below
        if op == "gte":
            return _negated(below)
        up_to = _joined([below, Condition(f"{name} = %s", (value,))], " OR ", FALSE)
        return up_to if op == "lte" else _negated(up_to)

    def _below(self, name: str, value: str) -> Condition:
        """Whether a text sorts below another by UTF-16 code units, as JavaScript sorts.

        Databases sort by code points, which differs only where both texts first differ in characters above the
        surrogates: with none of these in the value, the order of code points will do.
        """
        special = [index for index, char in enumerate(value) if ord(char) >= _AFTER_SURROGATES]
        if not special:
            return self._sorts(name, "<", value)
        first = special[0]
        parts = [self._sorts(name, "<", value[:first])] if first else []
        for index in range(first, len(value)):
            same = Condition(f"substr({name}, 1, {index}) = %s", (value[:index],))
            parts.append(
                _joined([same, self._char_below(f"substr({name}, {index + 1}, 1)", value[index])], " AND ", TRUE)
            )
        return _joined(parts, " OR ", FALSE)

    def _char_below(self, char: str, bound: str) -> Condition:
        """Whether one character, or the end of a text (empty), sorts below another by code units."""
        below = self._sorts(char, "<", bound)
        if ord(bound) < _AFTER_SURROGATES:
            return below
        if ord(bound) < _FIRST_ASTRAL:
            return _joined([below, self._sorts(char, ">=", chr(_FIRST_ASTRAL))], " OR ", FALSE)
        astral = _joined([self._sorts(char, ">=", chr(_FIRST_ASTRAL)), below], " AND ", TRUE)
        return _joined([self._sorts(char, "<=", _LAST_BEFORE_SURROGATES), astral], " OR ", FALSE)

    def _sorts(self, expression: str, sign: str, value: str) -> Condition:
        collation = "" if self.dialect == "sqlite" else ' COLLATE "C"'
        return Condition(f"{expression}{collation} {sign} %s", (value,))


def _text(spec: TraitSpec) -> str:
    return f"p.{spec.column}" if spec.column else "t.text"


def _joined(parts: list[Condition], word: str, empty: str) -> Condition:
    if not parts:
        return Condition(empty)
    return Condition(word.join(f"({part.sql})" for part in parts), tuple(v for part in parts for v in part.params))


def _negated(condition: Condition) -> Condition:
    return Condition(f"NOT ({condition.sql})", condition.params)


def _is_exact(value: float) -> bool:
    """Whether a double holds the number, so that some stored value may equal it."""
    try:
        return float(value) == value
    except OverflowError:
        return False


def _bound(op: str, value: float) -> float:
    """The double that cuts all doubles as the number does: it may be an integer that none of them equals."""
    if _is_exact(value):
        return float(value)
    step: Callable[[float, float], float] = math.nextafter
    if abs(value) > sys.float_info.max:
        return math.inf if value > 0 else -math.inf
    near = float(value)
    if op in ("gt", "lte"):
        return near if near < value else step(near, -math.inf)
    return near if near > value else step(near, math.inf)
