"""Files of ratings or visits that others publish: MovieLens and its kin (CSV, tab, `::`), and UCI's web visits.

Two columns (user, item) are enough; a rating and a time are used where they are. Bad input names line and column.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from recommender.dataset import Dataset, DatasetBuilder
from recommender.errors import InvalidRatings

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "userid", "user_id", "uid", "customer", "customer_id", "customerid", "visitor", "visitorid"),
    "item": ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "movie", "artistid", "artist", "product",
             "productid", "product_id", "isbn", "book_id", "bookid", "business_id", "sku"),
    "rating": ("rating", "score", "stars", "value", "weight", "plays", "playcount"),
    "time": ("timestamp", "time", "ts", "date", "datetime", "at", "unixreviewtime"),
}  # fmt: skip
POSITIONS = ("user", "item", "rating", "time")
"""Order of columns in files without a heading."""

CHUNK = 50_000
SECONDS_BELOW = 10**11
MILLISECONDS_BELOW = 10**14
"""A number below the first is a time in seconds (until the year 5138), below the second in milliseconds."""

WORD = re.compile(r"\w{2,}")

Progress = Callable[[int], None]


@dataclass(slots=True)
class _Layout:
    delimiter: str
    columns: Mapping[str, int]
    has_heading: bool


def read_ratings(*paths: Path, items: Path | None = None, progress: Progress | None = None) -> Dataset:
    """The interactions of one or more files, explicit if there are more than two ratings; `items` describes the items.

    `progress` is called with the number of lines read. Raises `InvalidRatings`.
    """
    tokens = read_items(items) if items else None
    builder = DatasetBuilder(item_ids=tokens or ())
    values: set[float] = set()
    lines = 0
    for users, ids, ratings, at in _chunks(paths):
        values.update(ratings if len(values) <= 2 else ())
        builder.add(
            user_id=np.array(users),
            item_id=np.array(ids),
            weight=np.array(ratings, dtype=np.float32),
            at=np.array(at, dtype=np.int64),
        )
        lines += len(users)
        if progress:
            progress(lines)
    if not lines:
        raise InvalidRatings(f"{', '.join(path.name for path in paths)}: no row")
    builder.explicit = len(values) > 2
    return builder.build(tokens=tokens)


def iterate_ratings(*paths: Path) -> Iterator[tuple[str, str, float, int]]:
    """User, item, rating and time (microseconds; 0 where there is none) of every row. Raises `InvalidRatings`."""
    for columns in _chunks(paths):
        yield from zip(*columns, strict=True)


def find_files(path: Path) -> tuple[list[Path], Path | None]:
    """In a folder: the files of interactions (a user and an item column, and no free tags), and the one of items.

    A file stands for itself.
    """
    if not path.is_dir():
        return [path], None
    ratings, items = [], None
    for file in sorted(path.iterdir()):
        names = _heading(file)
        if _is_visit_log(file) or (_has(names, "user") and _has(names, "item") and "tag" not in names):
            ratings.append(file)
        elif _has(names, "item") and names & {"title", "genres", "category", "tags"}:
            items = file
    if not ratings:
        raise InvalidRatings(f"{path.name}: no file with a user and an item column")
    return ratings, items


def read_items(path: Path) -> dict[str, tuple[str, ...]]:
    """Tokens per item of a file with a heading: an id column, and any of title, genres, category, tags."""
    described: dict[str, tuple[str, ...]] = {}
    with _opened(path) as file:
        reader = csv.DictReader(file)
        names = {name.strip().casefold(): name for name in reader.fieldnames or ()}
        key = _item_key(path, names)
        for row in reader:
            described[row[key]] = tuple(_tokens(row, names))
    return described


def read_titles(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Title and genres (or category, tags) per item of a file with a heading, as they are written."""
    with _opened(path) as file:
        reader = csv.DictReader(file)
        names = {name.strip().casefold(): name for name in reader.fieldnames or ()}
        key = _item_key(path, names)
        return {
            row[key]: (
                (row.get(names.get("title", ""), "") or "").strip(),
                tuple(value.strip() for _kind, value in _values(row, names)),
            )
            for row in reader
        }


def _item_key(path: Path, names: Mapping[str, str]) -> str:
    key = next((names[name] for name in (*COLUMNS["item"], "id") if name in names), None)
    if key is None:
        raise InvalidRatings(f"{path.name}, line 1: no column with an item id")
    return key


def _chunks(paths: Sequence[Path]) -> Iterator[tuple[Sequence[Any], ...]]:
    """Columns user, item, rating, time of at most `CHUNK` rows; an error names the file."""
    for number, path in enumerate(paths):
        try:
            with _opened(path) as file:
                rows = _visits(file, prefix=f"{number}:" if number else "") if _is_visit_log(path) else _delimited(file)
                while batch := list(islice(rows, CHUNK)):
                    yield tuple(zip(*batch, strict=True))
        except InvalidRatings as error:
            raise InvalidRatings(f"{path.name}, {error}") from error


def _heading(path: Path) -> set[str]:
    with _opened(path) as file:
        first = file.readline(10_000)
    return {name.strip().strip('"').casefold() for name in re.split(r"::|[\t;,]", first)}


def _has(names: set[str], kind: str) -> bool:
    return not names.isdisjoint(COLUMNS[kind])


def _tokens(row: Mapping[str, str], names: Mapping[str, str]) -> Iterator[str]:
    for kind, value in _values(row, names):
        yield f"{kind}={value.strip().casefold()}"
    for word in WORD.findall((row.get(names.get("title", ""), "") or "").casefold()):
        yield f"word={word}"


def _values(row: Mapping[str, str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for kind in ("genres", "category", "categories", "tags"):
        for value in re.split(r"[|;]", row.get(names.get(kind, ""), "") or ""):
            if value:
                yield kind, value


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            yield file
    except OSError as error:
        raise InvalidRatings(error.strerror or str(error)) from error


def _is_visit_log(path: Path) -> bool:
    """UCI's format: an `I` line first, then attributes, cases and their votes."""
    with _opened(path) as file:
        return file.readline().startswith('I,4,"')


def _visits(file: IO[str], *, prefix: str) -> Iterator[tuple[str, str, float, int]]:
    """Visitor numbers of this format start anew in every file: from the second file on they get a prefix."""
    user = ""
    for number, row in enumerate(csv.reader(file), start=1):
        if row and row[0] == "C":
            user = prefix + row[1]
        elif row and row[0] == "V":
            if not user:
                raise InvalidRatings(f"line {number}: a visit before the first visitor")
            yield user, row[1], 1.0, 0


def _delimited(file: IO[str]) -> Iterator[tuple[str, str, float, int]]:
    first = file.readline()
    if not first:
        return
    layout = _layout(first.rstrip("\r\n"))
    places = layout.columns
    needed = max(places.values())
    lines = _split(file, layout.delimiter)
    if not layout.has_heading:
        yield _row(_cut(first, layout.delimiter), places, needed, 1)
    for number, row in enumerate(lines, start=2):
        if row and any(row):
            yield _row(row, places, needed, number)


def _split(file: IO[str], delimiter: str) -> Iterator[list[str]]:
    if len(delimiter) > 1:
        return (_cut(line, delimiter) for line in file)
    return csv.reader(file, delimiter=delimiter)


def _cut(line: str, delimiter: str) -> list[str]:
    text = line.rstrip("\r\n")
    return text.split(delimiter) if len(delimiter) > 1 else next(csv.reader([text], delimiter=delimiter), [])


def _layout(first: str) -> _Layout:
    delimiter = next((mark for mark in ("::", "\t", ";", ",") if mark in first), None)
    if delimiter is None:
        raise InvalidRatings("line 1: no comma, semicolon, tab or `::` between columns")
    names = [name.strip().strip('"').casefold() for name in first.split(delimiter)]
    found = {
        kind: names.index(name) for kind, aliases in COLUMNS.items() for name in reversed(aliases) if name in names
    }
    if "user" in found and "item" in found:
        return _Layout(delimiter, found, has_heading=True)
    if found or len(names) < 2:
        raise InvalidRatings(f"line 1: no column for {'the item' if 'user' in found else 'the user'} in {first[:80]!r}")
    return _Layout(delimiter, dict(zip(POSITIONS, range(len(names)), strict=False)), has_heading=False)


def _row(row: Sequence[str], places: Mapping[str, int], needed: int, number: int) -> tuple[str, str, float, int]:
    if len(row) <= needed:
        raise InvalidRatings(f"line {number}: {len(row)} columns, at least {needed + 1} expected")
    user, item = row[places["user"]], row[places["item"]]
    if not user or not item:
        raise InvalidRatings(f"line {number}, column {'item' if user else 'user'}: empty")
    rating = _number(row[places["rating"]], number) if "rating" in places else 1.0
    at = _time(row[places["time"]], number) if "time" in places else 0
    return user, item, rating, at


def _number(text: str, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InvalidRatings(f"line {number}, column rating: {text!r} is not a number")
    return value


def _time(text: str, number: int) -> int:
    """Microseconds since the epoch, from a number or an ISO date; no time zone means UTC."""
    try:
        value = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise InvalidRatings(f"line {number}, column time: {text!r} is neither a number nor a date") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    if not np.isfinite(value):
        raise InvalidRatings(f"line {number}, column time: {text!r} is not a time")
    scale = 1_000_000 if value < SECONDS_BELOW else 1_000 if value < MILLISECONDS_BELOW else 1
    return int(value * scale)
