"""Own formulas: arithmetic over traits that are numbers, read into a small tree and never given to `eval`.

`revenue_365d / orders_365d`, `min(1, churn_risk * 2)`, `when(orders_90d > 0, 1, 0)`. Names are traits; operators are
+ − * / and comparisons (1 or 0); functions are min, max, abs, round(x, digits), log (natural), sqrt, when(c, a, b) and
coalesce(a, b, …). A value that is missing makes everything missing that needs it, except in `coalesce` and in the
branch of `when` that is not taken; so do a division by zero and whatever else is no finite number.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 500
MOST_NODES: Final = 200
MOST_DIGITS: Final = 10
LARGEST: Final = 1e15


class FormulaError(ValueError):
    """The expression cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A checked expression and the traits that it names."""

    text: str
    names: tuple[str, ...]


OPERATORS: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div)
COMPARISONS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
# name → fewest and most arguments
_FUNCTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "min": (2, 10),
    "max": (2, 10),
    "abs": (1, 1),
    "round": (1, 2),
    "log": (1, 1),
    "sqrt": (1, 1),
    "when": (3, 3),
    "coalesce": (2, 10),
}


def read_formula(text: object) -> Formula:
    """Return the formula; `FormulaError` says what is wrong with the text."""
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise FormulaError(f"must be a text of 1 to {LONGEST} characters, got {text!r:.60}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormulaError(f"{text!r:.60} is no expression; example: revenue_365d / orders_365d") from error
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise FormulaError(f"may have {MOST_NODES} parts at most")
    names: dict[str, None] = {}
    _check(tree, names)
    if not names:
        raise FormulaError("names no trait; example: revenue_365d / orders_365d")
    return Formula(text.strip(), tuple(names))


def _check(node: ast.expr, names: dict[str, None]) -> None:
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) > LARGEST:
                raise FormulaError(f"{value!r:.40} is larger than {LARGEST:g}")
        case ast.Name(id=name):
            names[name] = None
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, OPERATORS):
            _check(left, names)
            _check(right, names)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, COMPARISONS):
            _check(left, names)
            _check(right, names)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            _check_call(name, arguments, names)
        case _:
            raise FormulaError(
                f"{ast.unparse(node)!r:.60} is not understood: there are numbers, traits, + - * / and comparisons, "
                f"and {', '.join(_FUNCTIONS)}"
            )


def _check_call(name: str, arguments: Sequence[ast.expr], names: dict[str, None]) -> None:
    fewest, most = _FUNCTIONS[name]
    if not fewest <= len(arguments) <= most:
        raise FormulaError(f"{name} takes {fewest} to {most} values, got {len(arguments)}")
    if name == "round" and len(arguments) == 2:
        digits_of(arguments[1])
        arguments = arguments[:1]
    for argument in arguments:
        _check(argument, names)


def digits_of(node: ast.expr) -> int:
    """Return the digits that `round` is given."""
    if isinstance(node, ast.Constant) and type(node.value) is int and 0 <= node.value <= MOST_DIGITS:
        return node.value
    raise FormulaError(f"round takes 0 to {MOST_DIGITS} digits, written as a number")
