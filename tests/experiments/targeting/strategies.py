"""Random rules and people for the property tests of targeting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from experiments.targeting.tree import EQUALITY, MEMBERSHIP, ORDER, All, AnyOf, Condition, Not, Rule, Scalar

NAMES = ("country", "age", "segments", "vip")
texts = st.sampled_from(["", "DE", "de", "é", "😀", "\uffee", "10", "9"])
numbers = st.one_of(st.integers(-2, 12), st.sampled_from([0.5, 1.0, -0.0, 1e9]))
scalars = st.one_of(texts, numbers, st.booleans())


def rules_about(names: Sequence[str], values: st.SearchStrategy[Scalar]) -> st.SearchStrategy[Rule]:
    """Rules about these attributes, compared with these values."""
    name = st.sampled_from(names)
    orderable = values.filter(lambda value: not isinstance(value, bool))
    conditions = st.one_of(
        st.builds(Condition, name, st.sampled_from(EQUALITY), values),
        st.builds(Condition, name, st.sampled_from(MEMBERSHIP), st.lists(values, max_size=3).map(tuple)),
        st.builds(Condition, name, st.sampled_from(ORDER), orderable),
        st.builds(Condition, name, st.just("exists"), st.booleans()),
        st.builds(Condition, name, st.just("contains"), values),
    )
    return st.recursive(conditions, _grow, max_leaves=8)


def _grow(children: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    return st.one_of(
        st.builds(All, st.lists(children, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(children, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, children),
    )


rules: st.SearchStrategy[Rule] = rules_about(NAMES, scalars)

values = st.one_of(st.none(), scalars, st.lists(scalars, max_size=3))
people: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(NAMES), values)
