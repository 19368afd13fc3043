"""SQL that is compiled once: from one refresh to the next nothing in it changes but the moment.

Building and compiling the statements of a refresh takes longer than reading a day's news with them. A number that
nobody else can have written stands for the moment, and is replaced in the text.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

# Nineteen digits, less than 2⁶³, drawn anew by each process: no text of a definition can name it on purpose.
UNTIL: Final = 8 * 10**18 + secrets.randbelow(10**18)
MOST_KEPT: Final = 256
"""Statements of a process; four for each experiment."""

_kept: OrderedDict[Hashable, Template] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Template:
    """Compiled SQL in which `UNTIL` stands for the moment."""

    sql: str
    schema: pa.Schema

    def at(self, until: int) -> str:
        """The SQL as of a moment (µs)."""
        return self.sql.replace(str(UNTIL), str(until))


def keep(key: Hashable, compiled: Callable[[], Template]) -> Template:
    """The template kept under this key, compiled if there is none; the least recently used ones are dropped."""
    template = _kept.pop(key, None) or compiled()
    _kept[key] = template
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return template
