"""One calculation of the computed traits: of everybody, of who changed, or of chosen people.

Who changed: people with news (events, merges, consents, stated traits), people of whom an event has left a window since
the last calculation, and people who dealt with an item whose label changed. The traits of orders compare everybody with
everybody, so they are made for all buyers each time, from one summary row each, and written where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import numpy as np
from django.db import IntegrityError, connection
from django.db.models import Max, Min
from numpy.typing import NDArray

from marketing.choices import MembershipCause, SourceKind, TraitOrigin, TraitRunKind, TraitType
from marketing.errors import CannotComputeTraits
from marketing.models import Profile, ProfileTrait, TraitDefinition, TraitRun
from marketing.portrait.behavior import is_textual, numbers, texts
from marketing.portrait.recipes import ORDER_TRAITS, Affinity, Engagement, Events, Habit
from marketing.segmentation.clock import DAY, to_micros
from marketing.services import jobs
from marketing.services.changes import mark_changed, mark_found
from marketing.services.news import claim_news, drop_claimed
from marketing.services.portrait import formulas, orders
from marketing.services.portrait.labels import sync_labels, touched_by
from marketing.services.portrait.plan import Plan, load_plan
from marketing.services.portrait.reading import (
    Catalogue,
    Some,
    column,
    counted,
    read_deeds,
    read_lifetimes,
)
from marketing.services.portrait.storing import (
    Changes,
    Column,
    Stamp,
    compare,
    read_column,
    read_stored,
    store,
)
from marketing.services.sources import ensure_source

JOB: Final = "computed traits"
SOURCE: Final = "computed"
CHUNK: Final = 20_000
"""People at a time: with twenty events each their columns take some 100 MB."""
ATTEMPTS: Final = 3
KEPT: Final = timedelta(days=90)
"""How long calculations are listed; the last one of each kind stays."""
Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a calculation did: of how many people events were read, and how many values changed."""

    kind: TraitRunKind
    people: int
    changed: int


def compute_traits(
    *,
    clock: Clock,
    is_full: bool = False,
    profile_ids: Collection[int] | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Bring the computed traits up to date as of now; `CannotComputeTraits` if another process is at it.

    A first calculation, and one after a change of a recipe, is of everybody whatever was asked.
    """
    at = clock()
    plan = load_plan()
    if not jobs.begin(name=JOB, total=0, at=at):
        raise CannotComputeTraits("the computed traits are being counted already; wait until that has ended")
    try:
        outcome = _Run(plan=plan, at=at, clock=clock, progress=progress).follow(is_full, profile_ids)
    except BaseException as error:
        jobs.fail(name=JOB, error=f"{type(error).__name__}: {error}", at=clock())
        raise
    jobs.finish(name=JOB, at=clock())
    return outcome


@dataclass(slots=True)
class _Run:
    plan: Plan
    at: datetime
    clock: Clock
    progress: Progress
    changed: set[int] = field(default_factory=set)
    changed_n: int = 0
    people_n: int = 0
    stamp: Stamp = field(init=False)

    def __post_init__(self) -> None:
        source = ensure_source(name=SOURCE, kind=SourceKind.INTERNAL, at=self.at)
        self.stamp = Stamp(source.pk, to_micros(self.at))

    def follow(self, is_full: bool, profile_ids: Collection[int] | None) -> Outcome:
        last = TraitRun.objects.exclude(kind=TraitRunKind.SELECTED).exclude(finished_at=None).order_by("-pk").first()
        if profile_ids is not None:
            return self._selected(profile_ids, last)
        is_stale = last is None or last.fingerprint != self.plan.fingerprint or last.at > self.at
        kind = TraitRunKind.FULL if is_full or is_stale else TraitRunKind.INCREMENTAL
        was_killed = TraitRun.objects.filter(finished_at=None).exists()
        run = TraitRun.objects.create(kind=kind, at=self.at, fingerprint=self.plan.fingerprint)
        news = claim_news()
        relabelled = sync_labels() if self.plan.has_affinity else set()
        self._drop_inactive()
        if kind == TraitRunKind.FULL or last is None:
            parts: Sequence[Some] = _everybody()
        else:
            news |= self._slid(to_micros(last.at)) | touched_by(items=relabelled, types=self.plan.weighted_types)
            parts = _chunks(sorted(news))
        self._follow_behavior(parts)
        buyers = orders.read_buyers(types=self.plan.types)
        parameters = orders.fit(buyers=buyers, at=self.stamp.at)
        self._follow_orders(buyers, parameters)
        self._follow_formulas(parts if kind == TraitRunKind.FULL else _chunks(sorted(news | self.changed)))
        self._tell_segments(was_killed)
        drop_claimed()
        self._finish(run, parameters.as_json())
        return Outcome(kind, self.people_n, self.changed_n)

    def _selected(self, profile_ids: Collection[int], last: TraitRun | None) -> Outcome:
        """Count chosen people by the bounds and models of the last calculation."""
        if last is None or last.fingerprint != self.plan.fingerprint:
            raise CannotComputeTraits(
                "chosen people are compared with everybody: compute the traits of everybody first"
            )
        found = Profile.objects.filter(pk__in=profile_ids).values_list("pk", "merged_into")
        parts = _chunks(sorted({winner or pk for pk, winner in found}))
        run = TraitRun.objects.create(kind=TraitRunKind.SELECTED, at=self.at, fingerprint=self.plan.fingerprint)
        self._follow_behavior(parts)
        parameters = orders.Parameters.from_json(last.parameters)
        chosen = np.array([pk for some in parts for pk in some.only or ()], dtype=np.int64)
        self._follow_orders(orders.read_buyers(types=self.plan.types), parameters, chosen=chosen)
        self._follow_formulas(parts)
        self._tell_segments(False)
        self._finish(run, last.parameters)
        return Outcome(TraitRunKind.SELECTED, self.people_n, self.changed_n)

    def _follow_behavior(self, parts: Sequence[Some]) -> None:
        catalogue = Catalogue.load()
        for number, some in enumerate(parts):
            self._report("Behavior", number, len(parts))
            self._persistently(partial(self._behavior_of, some, catalogue))

    def _behavior_of(self, some: Some, catalogue: Catalogue) -> Changes:
        people, plan, at = counted(some), self.plan, self.stamp.at
        self.people_n += people.size
        deeds = read_deeds(plan=plan, people=people, some=some, at=at, catalogue=catalogue)
        past = read_lifetimes(people=people, some=some)
        made: dict[int, Column] = {}
        for pk, recipe in plan.behavior.items():
            if is_textual(recipe):
                assert isinstance(recipe, Engagement | Affinity | Habit)
                made[pk] = texts(recipe, deeds=deeds, past=past, ids=plan.types, at=at)
            else:
                assert isinstance(recipe, Events | Affinity | Habit)
                made[pk] = numbers(recipe, deeds=deeds, past=past, ids=plan.types, at=at)
        stored = read_stored(some=some, definitions=list(plan.behavior))
        return compare(people=people, columns=made, stored=stored, stamp=self.stamp)

    def _follow_orders(self, buyers: orders.Buyers, parameters: orders.Parameters, chosen: Ints | None = None) -> None:
        made = orders.values(recipes=self.plan.orders, buyers=buyers, parameters=parameters, at=self.stamp.at)
        for number, (pk, values) in enumerate(made.items()):
            self._report("Orders", number, len(made))
            is_text = ORDER_TRAITS[self.plan.orders[pk].give] == "text"

            def differ(pk: int = pk, values: Column = values, is_text: bool = is_text) -> Changes:
                stored = read_column(definition=pk, is_text=is_text)
                changes = compare(people=buyers.people, columns={pk: values}, stored={pk: stored}, stamp=self.stamp)
                return changes if chosen is None else _only(changes, set(chosen.tolist()))

            self._persistently(differ)

    def _follow_formulas(self, parts: Sequence[Some]) -> None:
        if not self.plan.formulas:
            return
        for number, some in enumerate(parts):
            self._report("Formulas", number, len(parts))
            self._persistently(partial(self._formulas_of, some))

    def _formulas_of(self, some: Some) -> Changes:
        return formulas.calculate(plan=self.plan, people=counted(some), some=some, stamp=self.stamp)

    def _persistently(self, differ: Callable[[], Changes]) -> None:
        """Write what differs; once more if somebody was erased between the reading and the writing."""
        for attempt in range(1, ATTEMPTS + 1):
            changes = differ()
            try:
                store(changes)
            except IntegrityError:
                if attempt == ATTEMPTS:
                    raise
                continue
            self.changed_n += changes.count
            self.changed |= changes.people
            return

    def _slid(self, before: int) -> set[int]:
        """Return of whom an event has left a window since the last calculation."""
        found: set[int] = set()
        for days, kinds in self.plan.windows().items():
            left = [before - days * DAY, self.stamp.at - days * DAY]
            for kind in sorted(self.plan.types.values() if kinds is None else kinds):
                sql = "SELECT DISTINCT profile_id FROM marketing_event WHERE type_id = %s AND at >= %s AND at < %s"
                found.update(column(sql, [kind, *left]).tolist())
        return found

    def _drop_inactive(self) -> None:
        """Take away the values of recipes that were switched off."""
        inactive = TraitDefinition.objects.filter(origin=TraitOrigin.COMPUTED, is_active=False)
        for pk, kind in inactive.order_by("pk").values_list("pk", "type"):
            name = "text" if kind == TraitType.TEXT else "number"
            rows = ProfileTrait.objects.filter(definition=pk, **{f"{name}__isnull": False})
            while ids := list(rows.values_list("pk", flat=True)[:CHUNK]):
                people = set(ProfileTrait.objects.filter(pk__in=ids).values_list("profile_id", flat=True))
                ProfileTrait.objects.filter(pk__in=ids).delete()
                mark_changed(profile_ids=people)
        inactive.update(filled_n=0)

    def _tell_segments(self, was_killed: bool) -> None:
        """Say whose values changed, once each: rules may ask of them.

        A calculation that was killed may have written values without telling: then it could have been anybody's.
        """
        if was_killed:
            mark_found(
                query="SELECT id FROM marketing_profile WHERE merged_into_id IS NULL",
                params=[],
                cause=MembershipCause.EVENT,
            )
            TraitRun.objects.filter(finished_at=None, at__lt=self.at).delete()
        else:
            mark_changed(profile_ids=self.changed)

    def _report(self, step: str, done: int, total: int) -> None:
        jobs.report(name=JOB, step=step, done=done, total=total, at=self.clock())
        self.progress(step, done, total)

    def _finish(self, run: TraitRun, parameters: object) -> None:
        TraitRun.objects.filter(pk=run.pk).update(
            parameters=parameters, people_n=self.people_n, changed_n=self.changed_n, finished_at=self.clock()
        )
        if run.kind == TraitRunKind.SELECTED:
            return
        definitions = TraitDefinition.objects.filter(origin=TraitOrigin.COMPUTED, is_active=True)
        definitions.update(refreshed_at=self.at)
        count_filled()
        old = TraitRun.objects.filter(at__lt=self.at - KEPT).exclude(pk=run.pk)
        old.delete()


def count_filled() -> None:
    """Count the people with a value of each trait, from the indexes."""
    with connection.cursor() as cursor:
        for pk, kind in TraitDefinition.objects.order_by("pk").values_list("pk", "type"):
            name = "text" if kind == TraitType.TEXT else "number"
            cursor.execute(
                f"SELECT count(*) FROM marketing_profiletrait WHERE definition_id = %s AND {name} IS NOT NULL",  # noqa: S608 - constants
                [pk],
            )
            TraitDefinition.objects.filter(pk=pk).update(filled_n=cursor.fetchone()[0])


def _only(changes: Changes, chosen: set[int]) -> Changes:
    return Changes(
        *([row for row in rows if row[0] in chosen] for rows in (changes.added, changes.updated, changes.removed))
    )


def _everybody() -> list[Some]:
    """All keys in ranges; who is not counted (any more) is in them, too, and loses what was stored."""
    ends = Profile.objects.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return []
    return [Some(first, first + CHUNK - 1) for first in range(ends["first"], ends["last"] + 1, CHUNK)]


def _chunks(ids: Sequence[int]) -> list[Some]:
    return [Some(0, 0, ids[start : start + CHUNK]) for start in range(0, len(ids), CHUNK)]
