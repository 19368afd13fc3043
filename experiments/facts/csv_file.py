"""A finished experiment in a delimited text file: one row per unit, read whole or refused.

Numbers become integers in a decimal scale of their own column, so that nothing is rounded: the
analysis then sums integers, as everywhere else.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Final, Literal, NoReturn, cast

Kind = Literal["proportion", "mean"]
KINDS: Final[tuple[Kind, ...]] = ("proportion", "mean")
DELIMITERS: Final = (",", ";", "\t")
FLAGS: Final = {"TRUE": "1", "FALSE": "0"}
GZIP_MAGIC: Final = b"\x1f\x8b"
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
# A column with more values than this is no column of arms but an identifier or a measurement.
MOST_ARMS: Final = 50
# What the record keeps of a name.
LONGEST_NAME: Final = 120
# Totals are int64; one bit is left for the sign.
LARGEST_INTEGER: Final = 2**63 - 1


class CsvProblem(ValueError):
    """Why a file cannot be imported, naming line and column where there is one."""


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """A column to compare; without a kind, a column of 0 and 1 is a proportion."""

    name: str
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the file is what."""

    arm: str
    control: str
    metrics: tuple[MetricColumn, ...]
    unit: str | None = None
    covariate: str | None = None


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """Values as integers; value = integer / scale."""

    name: str
    kind: Kind
    values: tuple[int, ...]
    scale: int


@dataclass(frozen=True, slots=True)
class FinishedExperiment:
    """What the file holds: the arm of each unit and its numbers, in file order."""

    control: str
    arms: tuple[str, ...]
    arm_of_unit: tuple[str, ...]
    metrics: tuple[NumberColumn, ...]
    covariate: NumberColumn | None


@dataclass(slots=True)
class _Cells:
    """The cells of one column with the line of each, as text; equal texts are kept once."""

    name: str
    texts: list[str]


def read_finished_experiment(path: Path, columns: Columns) -> FinishedExperiment:
    """Read and check a file; raises `CsvProblem` for the first thing that is wrong."""
    try:
        with _open(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
            return _read(text, columns)
    except UnicodeDecodeError as error:
        _refuse("the text is not UTF-8", line=_first_undecodable_line(path), cause=error)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CsvProblem(f"the file cannot be read: {reason}") from error


def _open(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if it is gzip, whatever its name."""
    with path.open("rb") as raw:
        is_gzip = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast("BinaryIO", gzip.open(path)) if is_gzip else path.open("rb")


def _first_undecodable_line(path: Path) -> int:
    with _open(path) as stream:
        return next(number for number, line in enumerate(stream, start=1) if not _is_text(line))


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read(stream: Iterable[str], columns: Columns) -> FinishedExperiment:
    metric_names = [metric.name for metric in columns.metrics]
    long = next((name for name in metric_names if len(name) > LONGEST_NAME), None)
    if long is not None:
        raise CsvProblem(f"column {long[:20]}…: the name is longer than {LONGEST_NAME} characters")
    doubled = next((name for name in metric_names if metric_names.count(name) > 1), None)
    if doubled is not None:
        raise CsvProblem(f"column {doubled}: asked for as a metric twice")
    if columns.covariate in metric_names:
        raise CsvProblem(f"column {columns.covariate}: a metric cannot be its own covariate, known before the exposure")
    lines, header, rows = _rows(stream)
    names = [columns.arm, *metric_names]
    names += [name for name in (columns.unit, columns.covariate) if name is not None]
    positions = {name: _position(header, name) for name in names}
    cells = {name: _Cells(name, []) for name in positions}
    shared: dict[str, str] = {}
    for line, row in rows:
        if len(row) != len(header):
            _refuse(f"{len(row)} cells where the header has {len(header)}", line=line)
        lines.append(line)
        for name, position in positions.items():
            text = row[position].strip()
            cells[name].texts.append(shared.setdefault(text, text))
    if not lines:
        raise CsvProblem("the file has a header and no rows")
    arms = _arms(cells[columns.arm], lines, columns.control)
    if columns.unit is not None:
        _check_units(cells[columns.unit], lines)
    covariate = None
    if columns.covariate is not None:
        covariate = _numbers(cells[columns.covariate], lines, kind="mean")
    return FinishedExperiment(
        control=columns.control,
        arms=arms,
        arm_of_unit=tuple(cells[columns.arm].texts),
        metrics=tuple(_numbers(cells[metric.name], lines, kind=metric.kind) for metric in columns.metrics),
        covariate=covariate,
    )


def _rows(stream: Iterable[str]) -> tuple[list[int], list[str], Iterator[tuple[int, list[str]]]]:
    """An empty list for the line numbers, the header, and the rows with the line they start on."""
    iterator = iter(stream)
    first = next(iterator, "")
    if not first.strip():
        raise CsvProblem("line 1: the file has no header")
    delimiter = max(DELIMITERS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    doubled = next((name for name in header if header.count(name) > 1), None)
    if doubled is not None:
        _refuse("occurs twice in the header", line=1, column=doubled)
    return [], header, _body(iterator, delimiter)


def _body(iterator: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(iterator, delimiter=delimiter)
    while True:
        line = reader.line_num + 2  # the header was line 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise CsvProblem(f"line {line}: {error}") from error
        if row is None:
            return
        if row:
            yield line, row


def _position(header: Sequence[str], name: str) -> int:
    if name not in header:
        _refuse(f"is not in the header, which has: {', '.join(header)}", line=1, column=name)
    return header.index(name)


def _arms(cells: _Cells, lines: Sequence[int], control: str) -> tuple[str, ...]:
    """The arms in alphabetical order, control first."""
    first_line: dict[str, int] = {}
    units_n: dict[str, int] = {}
    for text, line in zip(cells.texts, lines, strict=True):
        if not text:
            _refuse("the arm is empty", line=line, column=cells.name)
        if len(text) > LONGEST_NAME:
            _refuse(f"the arm's name is longer than {LONGEST_NAME} characters", line=line, column=cells.name)
        first_line.setdefault(text, line)
        units_n[text] = units_n.get(text, 0) + 1
        if len(units_n) > MOST_ARMS:
            _refuse(f"more than {MOST_ARMS} different arms: is this the right column?", line=line, column=cells.name)
    if control not in units_n:
        found = ", ".join(f"{name!r} (line {first_line[name]})" for name in sorted(units_n))
        _refuse(f"no row has the control {control!r}; the column has {found}", line=lines[0], column=cells.name)
    if len(units_n) == 1:
        _refuse(f"every row is in the control {control!r}: nothing to compare", line=lines[0], column=cells.name)
    lonely = next((name for name in sorted(units_n) if units_n[name] == 1), None)
    if lonely is not None:
        message = f"arm {lonely!r} has one unit; a variance needs at least two"
        _refuse(message, line=first_line[lonely], column=cells.name)
    return (control, *sorted(units_n.keys() - {control}))


def _check_units(cells: _Cells, lines: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for text, line in zip(cells.texts, lines, strict=True):
        if not text:
            _refuse("the unit is empty", line=line, column=cells.name)
        if text in seen:
            _refuse(f"unit {text!r} is in line {seen[text]} already", line=line, column=cells.name)
        seen[text] = line


def _numbers(cells: _Cells, lines: Sequence[int], *, kind: Kind | None) -> NumberColumn:
    """The column as integers in the smallest scale that keeps every digit."""
    known: dict[str, Decimal] = {}
    for text, line in zip(cells.texts, lines, strict=True):
        if text not in known:
            known[text] = _number(text, line=line, column=cells.name)
    is_share = all(value in (0, 1) for value in known.values())
    if kind == "proportion" and not is_share:
        wrong = {text for text, value in known.items() if value not in (0, 1)}
        position = next(index for index, text in enumerate(cells.texts) if text in wrong)
        message = f"{cells.texts[position]!r} is neither 0 nor 1 (nor TRUE or FALSE), as a proportion needs"
        _refuse(message, line=lines[position], column=cells.name)
    exponent = _exponent(known.values())
    integers = {text: int(value.scaleb(exponent).to_integral_value()) for text, value in known.items()}
    return NumberColumn(
        name=cells.name,
        kind=kind or ("proportion" if is_share else "mean"),
        values=tuple(integers[text] for text in cells.texts),
        scale=10**exponent,
    )


def _number(text: str, *, line: int, column: str) -> Decimal:
    plain = FLAGS.get(text.upper(), text)
    if not plain:
        _refuse("the cell is empty; write 0 for units without a value", line=line, column=column)
    if not NUMBER.fullmatch(plain):
        _refuse(f"{text!r} is not a number", line=line, column=column)
    value = Decimal(plain)
    if abs(value) > LARGEST_INTEGER:
        _refuse(f"{text!r} is too large", line=line, column=column)
    return value


def _exponent(values: Iterable[Decimal]) -> int:
    """Decimal places to keep: all of them, unless the largest number would leave int64."""
    decimals, largest = 0, Decimal(1)
    for value in values:
        decimals = max(decimals, -int(value.normalize().as_tuple().exponent))
        largest = max(largest, abs(value))
    room = (Decimal(LARGEST_INTEGER) / largest).adjusted()
    return min(decimals, room)


def _refuse(message: str, *, line: int, column: str | None = None, cause: Exception | None = None) -> NoReturn:
    where = f"line {line}" if column is None else f"line {line}, column {column}"
    raise CsvProblem(f"{where}: {message}") from cause
