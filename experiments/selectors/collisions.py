"""Which experiments would share people, a place, a time or a part of the experience with one that is being planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet
from django.utils.module_loading import import_string

from experiments.choices import ExperimentStatus
from experiments.models import Arm, Experiment, Phase
from experiments.ports import People, Place
from experiments.targeting.tree import Rule, decode

MOST_COUNTED = 20
"""Rivals whose common people are counted: each costs one query over the units."""


@dataclass(frozen=True, slots=True)
class Collision:
    """A live experiment that shares units with the planned one.

    `exposed_n`: how many it has taken in, `shared_n`: how many of them the planned one takes in at most, by its range
    of the layer and its coverage. `audience_n`: how many units both address, `both_n`: how many of those are expected
    in both; None where nobody can tell. `place`: both reach people in the same kind of place at the same time.
    `payload`: names that the arms of both set, so that one may overwrite the other.
    """

    key: str
    name: str
    exposed_n: int
    shared_n: int
    audience_n: int | None
    both_n: int | None
    place: Place | None
    payload: tuple[str, ...]

    @property
    def is_serious(self) -> bool:
        """Whether they are likely to change the same thing."""
        return self.place is not None or bool(self.payload)


@dataclass(frozen=True, slots=True)
class _Traffic:
    rule: Rule
    share: float


@dataclass(frozen=True, slots=True)
class Planned:
    """What is being planned: whom it addresses, which part of them it takes in, and where it reaches them.

    It need not be an experiment yet; `key` is empty then.
    """

    unit_type: str
    rule: Rule
    key: str = ""
    share: float = 1.0
    place: Place | None = None
    payload: frozenset[str] = frozenset()


def list_collisions(*, experiment_key: str) -> list[Collision]:
    """Live experiments with the same kind of unit outside of the experiment's own layer, most shared units first.

    Experiments of one layer share nobody: the launch guard keeps their ranges apart.
    """
    experiment = Experiment.objects.filter(key=experiment_key).first()
    if experiment is None or experiment.status == ExperimentStatus.ARCHIVED:
        return []
    rivals = _rivals(experiment.unit_type).exclude(pk=experiment.pk)
    if experiment.layer_id is not None:
        rivals = rivals.exclude(layer=experiment.layer_id)
    rows = list(rivals)
    if not rows:
        return []
    known = _Known([experiment, *rows])
    traffic = known.traffic[experiment.pk]
    planned = Planned(
        unit_type=experiment.unit_type,
        rule=traffic.rule,
        key=experiment.key,
        share=traffic.share,
        place=known.places.get(experiment.key),
        payload=frozenset(known.names[experiment.key]),
    )
    return _collisions(planned, rows, known)


def list_planned_collisions(*, planned: Planned) -> list[Collision]:
    """The same for what is no experiment yet: every live one with the same kind of unit."""
    rows = list(_rivals(planned.unit_type))
    return _collisions(planned, rows, _Known(rows)) if rows else []


def _rivals(unit_type: str) -> QuerySet[Experiment]:
    rows = Experiment.objects.live().filter(unit_type=unit_type)
    return rows.annotate(exposed_n=Count("exposures__unit_id", distinct=True)).order_by("-exposed_n", "key")


class _Known:
    """What has to be known of all of the experiments, each in one query."""

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        keys = [experiment.key for experiment in experiments]
        self.people: People = import_string(settings.EXPERIMENTS_PEOPLE)()
        self.places = self.people.places(experiment_keys=keys)
        self.names = _payload_names(keys)
        self.traffic = _traffic(experiments)


def _collisions(planned: Planned, rows: Sequence[Any], known: _Known) -> list[Collision]:
    """`rows` are rivals with their `exposed_n`, most of it first."""
    found = []
    for index, rival in enumerate(rows):
        theirs, their_place = known.traffic[rival.pk], known.places.get(rival.key)
        both = [(planned.key, planned.rule), (rival.key, theirs.rule)]
        audience_n = known.people.count(experiments=both) if index < MOST_COUNTED else None
        is_met = planned.place is not None and their_place is not None and planned.place.meets(their_place)
        found.append(
            Collision(
                key=rival.key,
                name=rival.name,
                exposed_n=rival.exposed_n,
                shared_n=round(rival.exposed_n * planned.share),
                audience_n=audience_n,
                # Their hashes are independent, so that the shares multiply.
                both_n=None if audience_n is None else round(audience_n * planned.share * theirs.share),
                place=their_place if is_met else None,
                # Whatever has a place of its own overwrites nothing elsewhere.
                payload=() if planned.place or their_place else tuple(sorted(planned.payload & known.names[rival.key])),
            )
        )
    return sorted(found, key=lambda one: (not one.is_serious, -one.exposed_n, one.key))


def _traffic(experiments: Sequence[Experiment]) -> dict[int, _Traffic]:
    """Rule and part of all units that are taken in, by experiment: the range of the layer times the coverage."""
    phases = Phase.objects.current().filter(experiment__in=experiments)
    applied = phases.annotate(reached=Max("ramp__coverage", filter=Q(ramp__applied_at__isnull=False)))
    reached = dict(applied.values_list("pk", "reached"))
    regimes = {phase.experiment_id: phase for phase in phases}
    traffic = {}
    for experiment in experiments:
        phase, width = regimes[experiment.pk], experiment.layer_upper - experiment.layer_lower
        coverage = max(phase.coverage, reached[phase.pk] or 0.0)
        traffic[experiment.pk] = _Traffic(decode(phase.targeting), width * coverage)
    return traffic


def _payload_names(keys: list[str]) -> dict[str, set[str]]:
    """The names in the payloads of each experiment's arms."""
    names: dict[str, set[str]] = {key: set() for key in keys}
    for key, payload in Arm.objects.filter(experiment__key__in=keys).values_list("experiment__key", "payload"):
        if isinstance(payload, dict):
            names[key] |= set(payload)
    return names
