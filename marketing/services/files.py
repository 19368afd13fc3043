"""Rows of files that people bring: CSV (comma, semicolon or tab) and JSON lines, plain or gzip, one row at a time."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from marketing.errors import CannotImport

GZIP_MAGIC: Final = b"\x1f\x8b"
DELIMITERS: Final = ",;\t|"
SNIFFED: Final = 64 * 1024
HASH_BLOCK: Final = 1024 * 1024
LONGEST_LINE: Final = 1024 * 1024  # of JSON: a longer one is another kind of file
JSON_SUFFIXES: Final = frozenset((".jsonl", ".ndjson", ".json"))


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: its number (the first is 1), its values, or why it cannot be read, and the text for the reject file."""

    number: int
    values: Mapping[str, Any] | None
    problem: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """An open file: the names of a CSV's columns (None for JSON lines, where each row has its own)."""

    columns: Sequence[str] | None
    rows: Iterator[FileRow]
    position: Callable[[], int]
    """How many bytes of the file have been read."""


def sha256_of(path: Path) -> str:
    """Return the hash of the file's bytes; `CannotImport` if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(HASH_BLOCK):
                digest.update(block)
    except OSError as error:
        raise CannotImport(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a file for reading row by row; `CannotImport` if it has no rows to offer."""
    with path.open("rb") as raw:
        is_packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        unpacked: Any = gzip.GzipFile(fileobj=raw) if is_packed else raw
        # Bytes that are not UTF-8 become surrogates, which the row's own check finds: one bad row is one bad row.
        text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="surrogateescape", newline="")
        suffixes = [one.lower() for one in path.suffixes]
        try:
            if JSON_SUFFIXES.intersection(suffixes):
                yield Table(columns=None, rows=_json_rows(text), position=raw.tell)
            else:
                yield _csv_table(text, raw)
        except (EOFError, gzip.BadGzipFile) as error:
            raise CannotImport(f"{path} is not a whole gzip file: {error}") from error


def _csv_table(text: io.TextIOWrapper, raw: BinaryIO) -> Table:
    head = text.read(SNIFFED)
    text.seek(0)
    first = head.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise CannotImport(f"line 1 is not CSV: {error}") from error
    if not any(columns):
        raise CannotImport("the file is empty: its first line must name the columns")
    if len(set(columns)) < len(columns) or not all(columns):
        raise CannotImport("line 1 must name each column once")
    return Table(columns=columns, rows=_csv_rows(reader, columns, delimiter), position=raw.tell)


def _csv_rows(reader: Any, columns: Sequence[str], delimiter: str) -> Iterator[FileRow]:
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield FileRow(number, None, problem=f"line {reader.line_num} is not CSV: {error}")
            continue
        if not cells:
            continue
        number += 1
        problem = ""
        if len(cells) != len(columns):
            problem = f"line {reader.line_num} has {len(cells)} cells, the first line names {len(columns)}"
        elif _is_not_utf8("".join(cells)):
            problem = f"line {reader.line_num} is not UTF-8"
        if problem:
            yield FileRow(number, None, problem, raw=delimiter.join(cells))
        else:
            yield FileRow(number, dict(zip(columns, cells, strict=True)))


def _json_rows(text: io.TextIOWrapper) -> Iterator[FileRow]:
    number = 0
    while line := text.readline(LONGEST_LINE):
        if not line.endswith("\n") and len(line) == LONGEST_LINE:
            raise CannotImport(f"line {number + 1} is longer than {LONGEST_LINE} characters: this is not JSON lines")
        if not line.strip():
            continue
        number += 1
        if _is_not_utf8(line):
            yield FileRow(number, None, f"line {number} is not UTF-8", raw=line.rstrip("\r\n"))
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            yield FileRow(number, values)
        else:
            yield FileRow(number, None, f"line {number} is not a JSON object", raw=line.rstrip("\r\n"))


def _is_not_utf8(text: str) -> bool:
    return not text.isascii() and any(0xDC80 <= ord(character) <= 0xDCFF for character in text)
