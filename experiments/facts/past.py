"""The past as if an experiment had run in it: facts whose exposures are the events that would have triggered one.

Everything else, the same expressions included, is the source's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.ports import Facts

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

EVERYBODY = "all"
"""The one arm of a past in which nobody was assigned."""


class _Other:
    """A source whose exposures a subclass makes up; the rest is the source's own."""

    def __init__(self, facts: Facts, *, since: int, until: int) -> None:
        self.facts = facts
        self.since = since
        self.until = until

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        """The source's events."""
        return self.facts.events(event_types=event_types, properties=properties, numbers=numbers, units=units)

    def population(self, *, at: int) -> ibis.Table:
        """Everybody that the source knows."""
        return self.facts.population(at=at)

    def compile(self, expression: ibis.Table) -> str:
        """The source's SQL."""
        return self.facts.compile(expression)

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The source's rows."""
        return self.facts.execute(expression)


class PastFacts(_Other):
    """Exposed: everybody with one of the triggering events in [since, until), at the first of them."""

    def __init__(self, facts: Facts, *, triggers: Sequence[str], since: int, until: int) -> None:
        super().__init__(facts, since=since, until=until)
        self.triggers = tuple(triggers)

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """One row per unit, at its first triggering event."""
        events = self.facts.events(event_types=self.triggers, properties=(), units=units)
        seen = events.filter((events.at >= self.since) & (events.at < self.until))
        return _entered(seen.group_by("unit").agg(first_at=seen.at.min()))


class PopulationFacts(_Other):
    """Exposed: everybody who was known before `until`, from `since` or from when they became known."""

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """One row per unit, at the beginning or at its creation."""
        known = self.facts.population(at=self.until)
        if units is not None:
            known = known.filter(known.unit.isin(units.unit))
        return _entered(known.select("unit", first_at=(known.known_at > self.since).ifelse(known.known_at, self.since)))


def _entered(first: ibis.Table) -> ibis.Table:
    import ibis

    arm, phase = ibis.literal(EVERYBODY), ibis.literal(1, "int64")
    return first.select("unit", arm=arm, phase=phase, first_at=first.first_at)
