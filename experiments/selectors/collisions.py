"""Which experiments would share units with one that is being planned."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from experiments.choices import ExperimentStatus
from experiments.models import Experiment, Phase
from experiments.selectors.ramp import coverage_in_force


@dataclass(frozen=True, slots=True)
class Collision:
    """A live experiment that shares units: how many it has taken in, and how many of them this one takes in at most.

    At most, because what the targeting rules leave out is not known before people come.
    """

    key: str
    name: str
    exposed_n: int
    shared_n: int


def list_collisions(*, experiment_key: str) -> list[Collision]:
    """Live experiments with the same kind of unit outside of the experiment's own layer, most shared units first.

    Experiments of one layer share nobody: the launch guard keeps their ranges apart.
    """
    experiment = Experiment.objects.filter(key=experiment_key).first()
    if experiment is None or experiment.status == ExperimentStatus.ARCHIVED:
        return []
    rivals = Experiment.objects.live().filter(unit_type=experiment.unit_type).exclude(pk=experiment.pk)
    if experiment.layer_id is not None:
        rivals = rivals.exclude(layer=experiment.layer_id)
    share = _share(experiment)
    rows = rivals.annotate(exposed_n=Count("exposures__unit_id", distinct=True)).order_by("-exposed_n", "key")
    return [
        Collision(key=key, name=name, exposed_n=exposed_n, shared_n=round(exposed_n * share))
        for key, name, exposed_n in rows.values_list("key", "name", "exposed_n")
    ]


def _share(experiment: Experiment) -> float:
    """The part of all units that the experiment takes in: its range of the layer times its coverage."""
    phase = Phase.objects.current().filter(experiment=experiment).first()
    coverage = 1.0 if phase is None else coverage_in_force(phase=phase)
    return (experiment.layer_upper - experiment.layer_lower) * coverage
