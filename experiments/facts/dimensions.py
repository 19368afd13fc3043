"""Dimensions as they stood at the first exposure: what a unit's events before it say.

Nothing of today's profile is read. A dimension that the treatment could have changed would make groups that are no
longer random (docs/metrics.md, "Breakdowns").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.facts.expressions import clean_units
from experiments.ports import Facts

if TYPE_CHECKING:
    import ibis

SEEN = "returning"
NOT_SEEN = "new"


@dataclass(frozen=True, slots=True)
class Dimension:
    """Without a property: had one of the events happened before? With one: its newest value in them."""

    name: str
    event_types: tuple[str, ...]
    property_name: str = ""

    @property
    def default(self) -> str:
        """The value of a unit without such an event."""
        return "" if self.property_name else NOT_SEEN

    def as_json(self) -> dict[str, Any]:
        """The form in a plan."""
        return {"name": self.name, "event_types": list(self.event_types), "property": self.property_name}


def decode_dimension(data: Mapping[str, Any]) -> Dimension:
    """A dimension of a plan; ValueError says which part is wrong."""
    try:
        found = Dimension(
            name=str(data["name"]),
            event_types=tuple(str(name) for name in data["event_types"]),
            property_name=str(data.get("property", "")),
        )
    except (KeyError, TypeError) as error:
        message = f"a dimension needs a name and event_types: {error}"
        raise ValueError(message) from error
    if not found.event_types or (found.property_name and not found.property_name.isidentifier()):
        message = f"dimension {found.name!r} needs at least one event type, and a property is an identifier"
        raise ValueError(message)
    return found


def values_at_exposure(facts: Facts, dimension: Dimension, *, experiment_key: str, until: int) -> ibis.Table:
    """`unit` and `value` of the clean units that have one, in unit order."""
    import ibis

    clean = clean_units(facts.exposures(experiment_key=experiment_key), until=until)
    properties = (dimension.property_name,) if dimension.property_name else ()
    events = facts.events(event_types=dimension.event_types, properties=properties)
    moment = events.happened_at if "happened_at" in events.columns else events.at
    known = events.mutate(known_at=moment).inner_join(clean.select("unit", "first_at"), "unit")
    before = known.filter((known.at < known.first_at) & (known.known_at < known.first_at))
    if not dimension.property_name:
        return before.select("unit", value=ibis.literal(SEEN)).distinct().order_by("unit")
    rows = before.select("unit", "at", value=before[f"property_{dimension.property_name}"])
    rows = rows.filter(rows.value.notnull())
    newest = rows.group_by("unit").agg(newest_at=rows.at.max())
    joined = rows.inner_join(newest, (rows.unit == newest.unit) & (rows.at == newest.newest_at))
    return joined.group_by(joined.unit).agg(value=joined.value.min()).order_by("unit")
