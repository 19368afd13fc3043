"""The values of a formula, for all people at once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketing.portrait.formula import LARGEST, Formula, FormulaError, digits_of

Floats = NDArray[np.float64]

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Floats, Floats], Floats]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Floats, Floats], NDArray[np.bool_]]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


def evaluate(formula: Formula, *, columns: Mapping[str, Floats], size: int) -> Floats:
    """Return the value of each of `size` people, shape (size,), NaN where there is none; so are the columns.

    >>> from marketing.portrait.formula import read_formula
    >>> formula = read_formula("a / b")
    >>> evaluate(formula, columns={"a": np.array([1.0, 1.0]), "b": np.array([2.0, 0.0])}, size=2)
    array([0.5, nan])
    """
    tree = ast.parse(formula.text, mode="eval").body
    with np.errstate(all="ignore"):
        found = np.broadcast_to(np.asarray(_value(tree, columns), dtype=np.float64), (size,)).copy()
    found[~np.isfinite(found) | (np.abs(found) > LARGEST)] = np.nan
    return found + 0.0  # no negative zero


def _value(node: ast.expr, columns: Mapping[str, Floats]) -> Floats:
    match node:
        case ast.Constant(value=value):
            assert isinstance(value, int | float)  # checked
            return np.asarray(float(value))
        case ast.Name(id=name):
            return columns[name]
        case ast.UnaryOp(op=op, operand=operand):
            operated = _value(operand, columns)
            return -operated if isinstance(op, ast.USub) else operated
        case ast.BinOp(left=left, op=op, right=right):
            return _finite(_OPERATORS[type(op)](_value(left, columns), _value(right, columns)))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            one, other = _value(left, columns), _value(right, columns)
            known = ~(np.isnan(one) | np.isnan(other))
            return np.where(known, _COMPARISONS[type(op)](one, other).astype(np.float64), np.nan)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _finite(_call(name, arguments, columns))
        case _:
            raise FormulaError(f"{ast.unparse(node)!r:.60} is not understood")


def _call(name: str, arguments: Sequence[ast.expr], columns: Mapping[str, Floats]) -> Floats:
    if name == "round":
        digits = digits_of(arguments[1]) if len(arguments) == 2 else 0
        return np.round(_value(arguments[0], columns), digits)
    values = [_value(argument, columns) for argument in arguments]
    if name == "when":
        condition, then, otherwise = values
        return np.where(np.isnan(condition), np.nan, np.where(condition != 0, then, otherwise))
    if name == "coalesce":
        found = values[0]
        for value in values[1:]:
            found = np.where(np.isnan(found), value, found)
        return found
    if name in ("min", "max"):
        combine = np.minimum if name == "min" else np.maximum
        found = values[0]
        for value in values[1:]:
            found = combine(found, value)
        return found
    return {"abs": np.abs, "log": np.log, "sqrt": np.sqrt}[name](values[0])


def _finite(value: Floats) -> Floats:
    """What is no finite number is missing from here on, as a division by zero is."""
    return np.where(np.isfinite(value), value, np.nan)
