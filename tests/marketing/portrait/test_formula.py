"""Own formulas: arithmetic only, and what is missing stays missing."""

from __future__ import annotations

import numpy as np
import pytest

from marketing.portrait.arithmetic import evaluate
from marketing.portrait.formula import FormulaError, read_formula
from marketing.portrait.scores import GROUPS, bounds, groups, score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2 - -a", 8.0),
        ("a / zero", None),
        ("a / zero * 0", None),
        ("coalesce(a / zero, 7)", 7.0),
        ("coalesce(none, none, b)", 3.0),
        ("min(a, b, 9) + max(a, b)", 4.0),
        ("abs(0 - b) + sqrt(4)", None),  # names are needed, and b is there
        ("round(a / b, 2)", 0.33),
        ("round(b / 2)", 2.0),
        ("log(zero) + a", None),
        ("when(a < b, b, none)", 3.0),
        ("when(none > 1, a, b)", None),
        ("(a == 1) + (a != 1) + (a <= b) + (a >= b)", 2.0),
        ("none + a", None),
        ("a * 1000000000000000 * b", None),
    ],
)
def test_evaluate__one_person__is_arithmetic(text: str, expected: float | None) -> None:
    columns = {"a": np.array([1.0]), "b": np.array([3.0]), "zero": np.array([0.0]), "none": np.array([np.nan])}
    (found,) = evaluate(read_formula(text), columns=columns, size=1).tolist()
    if text.startswith("abs"):
        expected = 5.0
    assert np.isnan(found) if expected is None else found == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 + 1",
        "a +",
        "a ** 9",
        "a.real",
        "a[0]",
        "__import__('os')",
        "eval(a)",
        "min(a)",
        "round(a, b)",
        "round(a, 99)",
        "'x' + a",
        "True + a",
        "a < b < c",
        "lambda: a",
        "a if b else c",
        "min(*a)",
        "a " + "+ a" * 200,
        "a + 1e99",
        None,
    ],
)
def test_read_formula__anything_else__is_refused(text: object) -> None:
    with pytest.raises(FormulaError):
        read_formula(text)


def test_scores__ties__never_break() -> None:
    values = np.array([1.0] * 7 + [2.0, 3.0, 4.0])
    limits = bounds(values, parts=5)
    assert score(values, limits).tolist() == [1] * 7 + [4, 5, 5]
    assert score(values[::-1], bounds(values[::-1], parts=5)).tolist() == [5, 5, 4] + [1] * 7
    assert score(np.array([5.0]), bounds(np.array([5.0]), parts=5)).tolist() == [1]
    assert np.isinf(bounds(np.array([]), parts=5)).all()


def test_groups__every_combination__has_one_and_each_group_somebody() -> None:
    r, f, m = (grid.ravel() for grid in np.meshgrid(*[np.arange(1, 6)] * 3))
    found = groups(r, f, m)
    assert set(found.tolist()) == set(range(len(GROUPS)))
    by_score = {
        (a, b, c): GROUPS[place][0]
        for a, b, c, place in zip(r.tolist(), f.tolist(), m.tolist(), found.tolist(), strict=True)
    }
    assert by_score[5, 5, 5] == "champions"
    assert by_score[5, 1, 1] == "new"
    assert by_score[1, 1, 1] == "lost"
    assert by_score[1, 5, 5] == "cannot lose"
