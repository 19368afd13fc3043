"""Two beats by accident: everything is enqueued twice, and nothing is done twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.endtoend.stack import ROOT, Stack, until

pytestmark = [pytest.mark.worker, pytest.mark.slow]

# People came over twelve days three weeks ago; nobody did anything, and refund guardrails are at rest.
WORLD = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from experiments.models import Arm, Exposure
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
from experiments.services.exposure import microseconds
from experiments.services.lifecycle import start
from experiments.services.recipients import add_recipient
now = timezone.now()
arms = (ArmSpec("control", "Control", 0.5, is_control=True), ArmSpec("treatment", "Treatment", 0.5))
design = Design(key="twice", name="Twice", arms=arms, metrics=(MetricSpec("conversion", "primary"),), planned_size=50)
experiment = create_experiment(design=design, at=now - timedelta(days=22))
start(experiment_key="twice", at=now - timedelta(days=21))
add_recipient(kind="email", address="ana@example.com", at=now)
places = list(Arm.objects.filter(experiment=experiment))
Exposure.objects.bulk_create(
    Exposure(experiment=experiment, phase=experiment.phases.get(), arm=places[n % 2], unit_type="profile",
             unit_id=str(n), first_at=microseconds(now - timedelta(days=20 - n % 12)))
    for n in range(120)
)
often, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
PeriodicTask.objects.exclude(task__in=["experiments.tasks.refresh_running_experiments", "experiments.tasks.send_alerts"]
    ).exclude(task__startswith="celery.").update(enabled=False)
for task in PeriodicTask.objects.filter(enabled=True):
    task.interval, task.expire_seconds = often, None
    task.save()
"""
STATE = """
import json
from experiments.models import Alert, AlertDelivery, Look, Refresh, Snapshot
looks = Look.objects.values_list("metric", "arm", "day")
print(json.dumps({"snapshots": Snapshot.objects.filter(status="ok").count(),
    "failed": Snapshot.objects.filter(status="failed").count(),
    "current": Snapshot.objects.filter(is_current=True).count(),
    "looks": len(looks), "different": len(set(looks)),
    "alerts": list(Alert.objects.values_list("kind", flat=True)),
    "sent": list(AlertDelivery.objects.values_list("status", "attempts_n")),
    "failures": list(Refresh.objects.values_list("failures_n", flat=True))}))
"""


def test_two_beats__same_schedule__one_result_at_a_time_and_each_alert_once(stack: Stack) -> None:
    import json

    stack.manage("migrate", "-v", "0")
    stack.manage("prepare")
    stack.run(WORLD)
    log = (stack.folder / "celery.log").open("ab")
    beat = ["beat", "--loglevel", "warning", "--pidfile", ""]
    commands = [["worker", "--loglevel", "warning", "--concurrency", "2"], beat, beat]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "config", "--quiet", *command],
            cwd=ROOT,
            env=stack.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for command in commands
    ]

    def state() -> dict[str, object] | None:
        found: dict[str, object] = json.loads(stack.run(STATE).splitlines()[-1])
        return found if int(str(found["snapshots"])) >= 4 and found["sent"] == [["sent", 1]] else None

    try:
        found = until(state, what="fourth result", patience=240, pause=2)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)
        log.close()
    assert (found["failed"], found["current"], found["failures"]) == (0, 1, [0])
    assert found["looks"] == found["different"]
    assert found["alerts"] == ["size"]
