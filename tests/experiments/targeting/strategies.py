"""Random rules and people for the property tests of targeting."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from experiments.targeting.tree import EQUALITY, MEMBERSHIP, ORDER, All, AnyOf, Condition, Not, Rule

NAMES = ("country", "age", "segments", "vip")
texts = st.sampled_from(["", "DE", "de", "é", "😀", "\uffee", "10", "9"])
numbers = st.one_of(st.integers(-2, 12), st.sampled_from([0.5, 1.0, -0.0, 1e9]))
scalars = st.one_of(texts, numbers, st.booleans())

conditions = st.one_of(
    st.builds(Condition, st.sampled_from(NAMES), st.sampled_from(EQUALITY), scalars),
    st.builds(Condition, st.sampled_from(NAMES), st.sampled_from(MEMBERSHIP), st.lists(scalars, max_size=3).map(tuple)),
    st.builds(Condition, st.sampled_from(NAMES), st.sampled_from(ORDER), st.one_of(texts, numbers)),
    st.builds(Condition, st.sampled_from(NAMES), st.just("exists"), st.booleans()),
    st.builds(Condition, st.sampled_from(NAMES), st.just("contains"), scalars),
)


def _grow(children: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    return st.one_of(
        st.builds(All, st.lists(children, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(children, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, children),
    )


rules: st.SearchStrategy[Rule] = st.recursive(conditions, _grow, max_leaves=8)

values = st.one_of(st.none(), scalars, st.lists(scalars, max_size=3))
people: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(NAMES), values)
