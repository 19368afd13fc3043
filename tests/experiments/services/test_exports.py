"""Results as files: written by a process of its own, which may fail."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from experiments.errors import CannotExport
from experiments.services.exports import parquet
from experiments.tables import Table, to_csv

TABLE = Table({"name": "text", "n": "integer", "x": "number"}, (("=1+1 🙂", 2**53, None), ("b", None, 0.1)))


def test_parquet__gaps_and_large_numbers__come_back_as_they_were() -> None:
    assert pq.read_table(io.BytesIO(parquet(table=TABLE))).to_pylist() == [
        {"name": "=1+1 🙂", "n": 2**53, "x": None},
        {"name": "b", "n": None, "x": 0.1},
    ]


def test_parquet__that_does_not_fit_its_column__says_why() -> None:
    with pytest.raises(CannotExport, match="could not be written"):
        parquet(table=Table({"n": "integer"}, (("many",),)))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv__text_like_a_formula__is_quoted(start: str) -> None:
    text = to_csv(Table({"name": "text", "x": "number"}, ((f"{start}1", -1.5),)))
    assert f"'{start}1" in text
    assert "-1.5" in text
    assert "'-1.5" not in text
