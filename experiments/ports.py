"""What experiments asks of the world outside, and the frozen types that cross the border.

Experiments knows no marketing: whoever owns the events implements `Facts`, and a setting
(`EXPERIMENTS_FACTS`) or the experiment itself names the class. Tables are ibis expressions, so
that one analysis runs on Django's own database, on Parquet through DuckDB or on a warehouse.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from experiments.definitions import (
    DEFINITION_SCHEMA,
    EXPERIMENT_PLACEHOLDER,
    MICRO,
    MetricDefinition,
    Part,
    PropertyFilter,
    check_kind,
    decode_definition,
)
from experiments.targeting import tree as targeting
from experiments.targeting.bots import is_crawler, is_program
from experiments.targeting.signals import opts_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis
    import pyarrow as pa

__all__ = [
    "DEFINITION_SCHEMA",
    "EXPERIMENT_PLACEHOLDER",
    "MICRO",
    "Facts",
    "Gate",
    "Known",
    "MetricDefinition",
    "Part",
    "People",
    "Place",
    "PropertyFilter",
    "check_kind",
    "decode_definition",
    "is_crawler",
    "is_program",
    "opts_out",
    "targeting",
]


class Gate(Protocol):
    """Who may ask for decisions, and where goes what clients report. Whoever owns the keys implements it.

    `admit` and `report` raise `errors.GateClosed` for a key without the right and `errors.TooManyRequests`. None needs
    the database to answer: decisions go on while it is down (docs/adr/0007).
    """

    def admit(self, key: str) -> None:
        """Return if the key may ask for decisions. `OSError`: that is not known, and may be known later."""
        ...

    def segments(self, unit_type: str, unit_id: str) -> Sequence[str]:
        """The segments that a unit is in, of those that experiments' rules name; from memory, 30 s old at most."""
        ...

    def report(self, key: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take in what a client reports, in the event wire's format; on disk when it returns. `OSError`: it is not."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when an experiment reaches people: the kind of place (a page slot, e-mail), and the window if any."""

    kind: str
    label: str
    name: str
    starts_at: datetime | None
    ends_at: datetime | None

    def meets(self, other: Place) -> bool:
        """Whether both reach people in the same kind of place at the same time."""
        one_first = self.ends_at is None or other.starts_at is None or other.starts_at < self.ends_at
        other_first = other.ends_at is None or self.starts_at is None or self.starts_at < other.ends_at
        return self.kind == other.kind and one_first and other_first


@dataclass(frozen=True, slots=True)
class Known:
    """One unit: its attributes, and ids that it had before a merge."""

    attributes: Mapping[str, Any]
    aliases: tuple[str, ...] = ()


class People(Protocol):
    """Who the units are. Whoever knows them implements it; the setting `EXPERIMENTS_PEOPLE` names the class."""

    def count(self, *, experiments: Sequence[tuple[str, targeting.Rule]]) -> int | None:
        """How many units every one of these experiments (key and targeting rule) addresses; None if nobody can tell.

        What an experiment's owner narrows it to besides the rule, such as a campaign's segment, counts too.
        """

    def known(self, *, unit_type: str, unit_id: str) -> Known:
        """What is known of one unit now; nothing of one that nobody knows."""

    def places(self, *, experiment_keys: Sequence[str]) -> Mapping[str, Place]:
        """Where the experiments that have such a place reach people, by key."""


class Facts(Protocol):
    """Where an experiment's exposures and events come from.

    Every time is int64 microseconds since the epoch (UTC). `unit` has one type in both tables
    and is unique per person: whoever implements this has merged the aliases.
    """

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """One or more rows per unit: `unit`, `arm` (key), `phase` (int64), `first_at` (int64).

        With `units` (a table of `unit`) only theirs are read.
        """

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        """Rows of these types only: `unit`, `type` (string), `at`, `value` (int64).

        `value` is signed (a refund is negative), in the scale that the metric's definition
        names (money: micro-units of the reporting currency), NULL where there is none. `at` is
        the moment that counts for a window: a refund carries the time of its order. Where that is
        not always the moment it happened, `happened_at` is a column too: what happened after the
        exposure is no covariate, and what happened after the analysis is not known to it. Each name
        in `properties` adds a string column `property_<name>`, each in `numbers` an int64 column
        `number_<name>` in millionths; both are NULL where an event has no such text or number. With `units` (a table of
        `unit`) only their events are read.
        """

    def population(self, *, at: int) -> ibis.Table:
        """Everybody who was known before `at` (µs): one row per unit, `unit` and `known_at` (µs), since when."""

    def compile(self, expression: ibis.Table) -> str:
        """The SQL that `execute` would run."""

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The rows of an expression over these tables, in the types of its schema."""
