"""Exposures and events for experiments: one unit per person, on Django's own database and the archive."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Sum

from experiments.selectors import facts_since, unit_types
from experiments.services.facts import UNITS_TABLE, DatabaseFacts
from marketing.choices import IdentityKind, Outside
from marketing.facts.accounts import keep_members, members
from marketing.facts.withdrawn import keep_withdrawn, until_withdrawn
from marketing.models import Event, EventType, Identity, Merge, OutsideCount, Profile, ProfileAlias
from marketing.segmentation.vocabulary import MICRO, TEXT_PROPERTIES, VALUE_PROPERTIES
from marketing.selectors.archive import archived_paths

if TYPE_CHECKING:
    from pathlib import Path

    import ibis
    import pyarrow as pa

ORDER: Final = "Order Completed"
REFUND: Final = "Order Refunded"
PROFILE: Final = "profile"
OWNERS_TABLE: Final = "facts_owners"
RECENT: Final = 1_000
"""Of so many events stored last, the newest says how current the log is: they arrive in no strict order."""


class EventFacts(DatabaseFacts):
    """Exposures and events with one unit per person: merged profiles count for their winner.

    One object serves one experiment: the one whose exposures were asked for last says how far back events are needed.
    """

    unit_type = "bigint"
    _key = ""
    _since: int | None = None
    _kind = PROFILE
    _members: ibis.Table | None = None
    _withdrawn: ibis.Table | None = None

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """Return the exposures, with the unit as the profile's number."""
        import ibis

        self._prepare(experiment_key)
        if self._is_of_groups:
            return super().exposures(experiment_key=experiment_key, units=units)
        alias = ibis.table({"loser_id": "int64", "winner_id": "int64"}, name=ProfileAlias._meta.db_table)
        owners = None if units is None else self._owners(units, alias)
        if self._kind == PROFILE:
            seen = super().exposures(experiment_key=experiment_key, units=owners)
            seen = seen.mutate(unit=seen.unit.cast("int64"))
        else:
            seen = self._of_identities(experiment_key, owners)
        joined = seen.left_join(alias, seen.unit == alias.loser_id)
        found = joined.select(
            unit=ibis.coalesce(alias.winner_id, seen.unit), arm=seen.arm, phase=seen.phase, first_at=seen.first_at
        )
        return found if units is None else found.filter(found.unit.isin(units.unit))

    def _owners(self, units: ibis.Table, alias: ibis.Table) -> ibis.Table:
        """The profiles under whose numbers exposures of these units may lie: the losers of merges too."""
        import ibis

        if units.op() == self.kept_units().op():
            return ibis.table({"unit": "int64"}, name=OWNERS_TABLE)
        lost = alias.filter(alias.winner_id.isin(units.unit))
        return units.select("unit").union(lost.select(unit=lost.loser_id))

    def _keep(self, sql: str, params: Sequence[Any]) -> None:
        super()._keep(sql, params)
        self.fill_table(
            OWNERS_TABLE,
            "bigint",
            f"SELECT unit FROM {UNITS_TABLE} UNION "  # noqa: S608 - constants
            f"SELECT loser_id FROM {ProfileAlias._meta.db_table} WHERE winner_id IN (SELECT unit FROM {UNITS_TABLE})",
            (),
        )

    def _of_identities(self, experiment_key: str, owners: ibis.Table | None) -> ibis.Table:
        """The exposures of an experiment whose clients name their units by an identity of the person."""
        import ibis

        columns = {"kind": "string", "value": "string", "profile_id": "int64"}
        identity = ibis.table(columns, name=Identity._meta.db_table)
        identity = identity.filter(identity.kind == self._kind)
        named = None
        if owners is not None:
            identity = identity.filter(identity.profile_id.isin(owners.unit))
            named = identity.select(unit=identity.value)
        seen = super().exposures(experiment_key=experiment_key, units=named)
        owned = seen.join(identity, identity.value == seen.unit)
        return owned.select(unit=owned.profile_id, arm=owned.arm, phase=owned.phase, first_at=owned.first_at)

    def _prepare(self, experiment_key: str) -> None:
        """Look up what the tables of this experiment depend on; once, however many statements ask."""
        if experiment_key == self._key:
            return
        self._withdrawn = keep_withdrawn(using=self.using)
        self._key, self._since = experiment_key, facts_since(experiment_key=experiment_key)
        self._kind = unit_types(experiment_keys=[experiment_key]).get(experiment_key, PROFILE)
        if self._is_of_groups and self._since is not None:
            self._since = 0  # a membership may be older than any window

    def shape(self, *, experiment_key: str, event_types: Sequence[str]) -> Hashable | None:
        """Return what the SQL depends on; none where the archive is read too, which is another engine's."""
        self._prepare(experiment_key)
        if self._is_of_groups or self._archived() or self.in_code(event_types):
            return None
        numbers = EventType.objects.using(self.using).filter(name__in={*event_types, ORDER})
        types = tuple(sorted(numbers.values_list("name", "pk")))
        return experiment_key, self._row_of(experiment_key), self._kind, types, self._withdrawn is not None

    @property
    def _is_of_groups(self) -> bool:
        """Whether the units are accounts or the like, and no people."""
        return self._kind != PROFILE and self._kind not in IdentityKind.values

    def hears_of_news(self, *, experiment_key: str) -> bool:
        """Whether what changes is told unit by unit: of people, not of groups."""
        self._prepare(experiment_key)
        return not self._is_of_groups

    def execute(self, expression: ibis.Table) -> pa.Table:
        """Return the rows of an expression; where the archive holds events that it may need, with these."""
        paths = self._archived()
        if not paths or self._since is None:
            return super().execute(expression)
        from marketing.facts.archived import execute_with_archive

        return execute_with_archive(
            expression,
            using=self.using,
            experiment_key=self._key,
            since=self._since,
            paths=paths,
            sources=self._sources,
        )

    def _archived(self) -> Sequence[Path]:
        """The archive's files that the experiment may need."""
        return [] if self._since is None else archived_paths(since=self._since)

    def population(self, *, at: int) -> ibis.Table:
        """Return the profiles first seen before `at`, and when; a merged one counts for its winner."""
        import ibis

        columns = {"id": "int64", "merged_into_id": "int64", "first_seen_at": "int64"}
        profile = ibis.table(columns, name=Profile._meta.db_table)
        known = profile.filter(profile.merged_into_id.isnull() & (profile.first_seen_at < at))
        return known.select(unit=known.id, known_at=known.first_seen_at)

    def watermark(self) -> dict[str, int]:
        """Return how far merges and events have come, and when the newest of the last events happened."""
        newest = Event.objects.using(self.using).order_by("-pk").values_list("pk", "at")[:RECENT]
        rows = list(newest)
        merges = Merge.objects.using(self.using).order_by("-pk").values_list("pk", flat=True).first()
        known = {"merges": merges or 0, "events": rows[0][0] if rows else 0}
        return known | ({"last_event_at": max(at for _, at in rows)} if rows else {})

    def bots_left_out(self, *, experiment_key: str) -> int:
        """Return how many visits of bots a campaign's slot turned away."""
        counts = OutsideCount.objects.using(self.using).filter(
            campaign__experiment_key=experiment_key, reason=Outside.BOT
        )
        return int(counts.aggregate(n=Sum("n"))["n"] or 0)

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        """Return the events of these types; a refund carries the moment of its order."""
        if not self._is_of_groups:
            return self._of_people(event_types, properties, numbers, units)
        belong = self._members if self._members is not None else self._keep_members()
        if units is not None:
            belong = belong.filter(belong.unit.isin(units.unit))
        belong = belong.select(group_id=belong.unit, member=belong.profile_id)
        mine = self._of_people(event_types, properties, numbers, None)
        theirs = mine.inner_join(belong, mine.unit == belong.member)
        return theirs.mutate(unit=theirs.group_id).drop("group_id", "member")

    def _keep_members(self) -> ibis.Table:
        """Read who belonged to the exposed groups once, into a table of this connection: SQLite parses no deeper."""
        seen = super().exposures(experiment_key=self._key)
        sql = self.compile(members(exposures=seen, kind=self._kind, experiment_key=self._key, using=self.using))
        self._members = keep_members(sql, using=self.using)
        return self._members

    def _of_people(
        self, event_types: Sequence[str], properties: Sequence[str], numbers: Sequence[str], units: ibis.Table | None
    ) -> ibis.Table:
        names = dict(EventType.objects.using(self.using).filter(name__in=event_types).values_list("pk", "name"))
        event = _event_table()
        if units is not None:
            event = event.filter(event.profile_id.isin(units.unit))
        refunds = [pk for pk, name in names.items() if name == REFUND]
        plain = {pk: name for pk, name in names.items() if pk not in refunds}
        read = _Columns(properties=properties, numbers=numbers, has_moment=bool(refunds))
        ordinary = self._before_withdrawal(event.filter(event.type_id.isin(list(plain) or [0])))
        rows = read.select(ordinary, ordinary.at, plain)
        for name, table in self.in_code(event_types):
            owned = _of_customers(table)
            if units is not None:
                owned = owned.filter(owned.unit.isin(units.unit))
            rows = rows.union(read.in_code(owned, name))
        if not refunds:
            return rows
        order_type = EventType.objects.using(self.using).filter(name=ORDER).values_list("pk", flat=True).first()
        refund = self._before_withdrawal(event.filter(event.type_id.isin(refunds)))
        order = self._before_withdrawal(event.filter((event.type_id == (order_type or 0)) & (event.order_id != "")))
        placed = order.group_by(owner=order.profile_id, number=order.order_id).agg(placed_at=order.at.min())
        import ibis

        dated = refund.left_join(placed, (refund.profile_id == placed.owner) & (refund.order_id == placed.number))
        window_at = ibis.coalesce(dated.placed_at, dated.at)
        return rows.union(read.select(dated, window_at, dict.fromkeys(refunds, REFUND)))

    def _before_withdrawal(self, event: ibis.Table) -> ibis.Table:
        """Cut after the choice of types: what all choices share would be one part of the SQL, read as a whole."""
        return event if self._withdrawn is None else until_withdrawn(event, self._withdrawn)


def _of_customers(table: ibis.Table) -> ibis.Table:
    """A source in code under the profiles of its units, which are the shop's user ids."""
    import ibis

    columns = {"kind": "string", "value": "string", "profile_id": "int64"}
    identity = ibis.table(columns, name=Identity._meta.db_table)
    user = identity.filter(identity.kind == IdentityKind.USER_ID.value)
    user = user.select(user_id=user.value, profile_id=user.profile_id)
    owned = table.inner_join(user, table.unit == user.user_id)
    return owned.select(unit=owned.profile_id, at=owned.at, value=owned.value)


def _event_table() -> ibis.Table:
    import ibis
    import ibis.expr.datatypes as dt

    columns: dict[str, Any] = {
        "profile_id": "int64",
        "type_id": "int64",
        "at": "int64",
        "value": "int64",
        "order_id": "string",
        **dict.fromkeys(TEXT_PROPERTIES.values(), "string"),
        "props": dt.JSON(binary=True),
    }
    return ibis.table(columns, name=Event._meta.db_table)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is read of an event; its own moment only where that is not the one that counts."""

    properties: Sequence[str]
    numbers: Sequence[str]
    has_moment: bool

    def select(self, table: ibis.Table, at: Any, names: dict[int, str]) -> ibis.Table:
        import ibis

        # The names are literals over the interned numbers: no join in the hottest query.
        kind = table.type_id.cases(*names.items(), else_="") if names else ibis.literal("")
        columns = {f"property_{name}": _text(table, name) for name in self.properties}
        columns |= {f"number_{name}": _number(table, name) for name in self.numbers}
        if self.has_moment:
            columns["happened_at"] = table.at
        return table.select(unit=table.profile_id, type=kind, at=at, value=table.value, **columns)

    def in_code(self, table: ibis.Table, name: str) -> ibis.Table:
        """The rows of a source in code, in the same columns; it has no properties."""
        import ibis

        columns: dict[str, Any] = {f"property_{text}": ibis.null("string") for text in self.properties}
        columns |= {f"number_{number}": ibis.null("int64") for number in self.numbers}
        if self.has_moment:
            columns["happened_at"] = table.at
        kind = ibis.literal(name)
        return table.select(unit=table.unit, type=kind, at=table.at, value=table.value, **columns)


def _text(table: ibis.Table, name: str) -> Any:
    return table[TEXT_PROPERTIES[name]].nullif("") if name in TEXT_PROPERTIES else table.props[name].str


def _number(table: ibis.Table, name: str) -> Any:
    """A number of the properties in millionths, rounded by one rule on every engine: half up."""
    if name in VALUE_PROPERTIES:
        return table.value
    return (table.props[name].float * MICRO + 0.5).floor().cast("int64")
