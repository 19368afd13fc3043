"""What experiments asks of the world outside, and the frozen types that cross the border.

Experiments knows no marketing: whoever owns the events implements `Facts`, and a setting
(`EXPERIMENTS_FACTS`) or the experiment itself names the class. Tables are ibis expressions, so
that one analysis runs on Django's own database, on Parquet through DuckDB or on a warehouse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis
    import pyarrow as pa

DEFINITION_SCHEMA = 1
MICRO = 1_000_000
EXPERIMENT_PLACEHOLDER = "$experiment"

Aggregation = Literal["exists", "count", "sum"]


class Gate(Protocol):
    """Who may ask for decisions, and where goes what clients report. Whoever owns the keys implements it.

    Both raise `errors.GateClosed` for a key without the right and `errors.TooManyRequests`; neither needs the
    database to answer: decisions go on while it is down (docs/adr/0007).
    """

    def admit(self, key: str) -> None:
        """Return if the key may ask for decisions."""
        ...

    def report(self, key: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take in what a client reports, in the event wire's format; on disk when it returns. `OSError`: it is not."""
        ...


class Facts(Protocol):
    """Where an experiment's exposures and events come from.

    Every time is int64 microseconds since the epoch (UTC). `unit` has one type in both tables
    and is unique per person: whoever implements this has merged the aliases.
    """

    def exposures(self, *, experiment_key: str) -> ibis.Table:
        """One or more rows per unit: `unit`, `arm` (key), `phase` (int64), `first_at` (int64)."""

    def events(self, *, event_types: Sequence[str], properties: Sequence[str]) -> ibis.Table:
        """Rows of these types only: `unit`, `type` (string), `at`, `value` (int64).

        `value` is signed (a refund is negative), in the scale that the metric's definition
        names (money: micro-units of the reporting currency), NULL where there is none. `at` is
        the moment that counts for a window: a refund carries the time of its order. Each name
        in `properties` adds a string column `property_<name>`.
        """

    def compile(self, expression: ibis.Table) -> str:
        """The SQL that `execute` would run."""

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The rows of an expression over these tables, in the types of its schema."""


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """Only events whose property equals the value (`$experiment` = the experiment's key)."""

    property: str
    value: str


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """How events become one number per exposed unit.

    The window opens `delay_hours` after the unit's first exposure and stays open for
    `window_hours`; the covariate is the same number over `lookback_days` before the exposure
    (0 = no covariate), or the summed values of `covariate_event_types` where these are named.
    `scale` divides the stored integers (money: 1,000,000); a covariate needs none, because the
    adjustment does not change when the covariate is multiplied.
    """

    event_types: tuple[str, ...]
    aggregation: Aggregation
    window_hours: int
    delay_hours: int = 0
    lookback_days: int = 0
    scale: int = 1
    cap: float | None = None
    filters: tuple[PropertyFilter, ...] = field(default_factory=tuple)
    covariate_event_types: tuple[str, ...] = ()

    @property
    def properties(self) -> tuple[str, ...]:
        """The event properties that the definition reads."""
        return tuple(sorted({item.property for item in self.filters}))

    def as_json(self) -> dict[str, Any]:
        """The form kept in the database; `decode_definition` reads it back."""
        return {
            "schema": DEFINITION_SCHEMA,
            "event_types": list(self.event_types),
            "aggregation": self.aggregation,
            "window_hours": self.window_hours,
            "delay_hours": self.delay_hours,
            "lookback_days": self.lookback_days,
            "scale": self.scale,
            "cap": self.cap,
            "filters": [{"property": f.property, "value": f.value} for f in self.filters],
            "covariate_event_types": list(self.covariate_event_types),
        }


def decode_definition(data: Mapping[str, Any]) -> MetricDefinition:
    """The definition in a stored JSON column; ValueError says which part is wrong."""
    if data.get("schema") != DEFINITION_SCHEMA:
        message = f"schema must be {DEFINITION_SCHEMA}, got {data.get('schema')!r}"
        raise ValueError(message)
    unknown = sorted(set(data) - {"schema", *MetricDefinition.__dataclass_fields__})
    if unknown:
        message = f"unknown keys: {', '.join(unknown)}"
        raise ValueError(message)
    try:
        definition = MetricDefinition(
            event_types=tuple(str(name) for name in data["event_types"]),
            aggregation=data["aggregation"],
            window_hours=int(data["window_hours"]),
            delay_hours=int(data.get("delay_hours", 0)),
            lookback_days=int(data.get("lookback_days", 0)),
            scale=int(data.get("scale", 1)),
            cap=None if data.get("cap") is None else float(data["cap"]),
            filters=tuple(
                PropertyFilter(property=str(item["property"]), value=str(item["value"]))
                for item in data.get("filters", ())
            ),
            covariate_event_types=tuple(str(name) for name in data.get("covariate_event_types", ())),
        )
    except KeyError as error:
        message = f"missing key: {error.args[0]}"
        raise ValueError(message) from error
    _check_definition(definition)
    return definition


def _check_definition(definition: MetricDefinition) -> None:
    problems = {
        "event_types must name at least one event": not definition.event_types,
        f"aggregation must be one of {', '.join(get_args(Aggregation))}": (
            definition.aggregation not in get_args(Aggregation)
        ),
        "window_hours must be positive": definition.window_hours <= 0,
        "delay_hours must not be negative": definition.delay_hours < 0,
        "lookback_days must not be negative": definition.lookback_days < 0,
        "scale must be positive": definition.scale <= 0,
        "cap must be positive": definition.cap is not None and definition.cap <= 0,
        "filter properties must be identifiers": any(not name.isidentifier() for name in definition.properties),
    }
    found = [text for text, is_wrong in problems.items() if is_wrong]
    if found:
        raise ValueError("; ".join(found))
