"""One at a time: building the demo world or removing it, with progress that pages can show.

Both hold the job `demo`, so neither can start while the other works; the removal has a row of its own besides, which
says after a restart what was going on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum

from marketing.errors import DemoIsBusy
from marketing.models import Job, Profile
from marketing.services import jobs
from marketing.services.demo.meter import Report
from marketing.services.demo.names import REMOVAL_JOB, SEED_JOB, Step
from marketing.services.demo.removal import remove_demo_world

Clock = Callable[[], datetime]


class Pending(StrEnum):
    """What a start of the program still has to do."""

    NOTHING = "nothing"
    SEED = "seed"
    RESULTS = "results"
    REMOVAL = "removal"


def pending() -> Pending:
    """Return what is to be done: finish what was interrupted, or fill an empty house.

    A house from which somebody removed the demo world stays empty.
    """
    kept = {job.name: job for job in Job.objects.filter(name__in=(SEED_JOB, REMOVAL_JOB))}
    seed, removal = kept.get(SEED_JOB), kept.get(REMOVAL_JOB)
    if removal is not None and (seed is None or removal.started_at >= seed.started_at):
        return Pending.NOTHING if removal.state == Job.State.DONE else Pending.REMOVAL
    if seed is not None and seed.state != Job.State.DONE:
        return Pending.RESULTS if seed.step == Step.RESULTS else Pending.SEED
    return Pending.NOTHING if Profile.objects.exists() else Pending.SEED


def build(*, seed: int, profiles: int, lift: float, clock: Clock, report: Report) -> None:
    """Build the demo world but for its results, as a job. Raises `DemoIsBusy` while another process is at it."""
    from marketing.services.demo.seed import play_demo

    at = clock()
    with _holding(SEED_JOB, clock=clock, report=report, at=at, leave=jobs.hand_over) as tell:
        play_demo(seed=seed, profiles=profiles, at=at, lift=lift, report=tell)


def read_results(*, clock: Clock, report: Report) -> None:
    """Do the rest of `build`: here, or in another process, which needs half the memory. Raises `DemoIsBusy`."""
    from marketing.services.demo.results import read_results

    at, played = clock(), Job.objects.get(name=SEED_JOB)
    with _holding(SEED_JOB, clock=clock, report=report, at=at) as tell:
        read_results(at=at, report=tell, done=played.done, total=played.total)


def remove(*, clock: Clock, report: Report) -> int:
    """Remove the demo world as a job; return the number of people. Raises `DemoIsBusy`."""
    at = clock()
    with _holding(SEED_JOB, clock=clock, report=report, at=at) as tell, _holding(REMOVAL_JOB, clock=clock, at=at):
        return remove_demo_world(report=lambda done, total: tell(Step.REMOVAL, done, total))


@contextmanager
def _holding(
    name: str,
    *,
    clock: Clock,
    at: datetime,
    report: Report | None = None,
    leave: Callable[..., None] = jobs.finish,
) -> Iterator[Report]:
    """Hold the job for the block, then `leave` it; whatever ends the block early is kept as the reason."""
    if not jobs.begin(name=name, total=0, at=at):
        raise DemoIsBusy("Another process is building or removing the demo world.")

    def tell(step: str, done: int, total: int) -> None:
        jobs.report(name=name, step=step, done=done, total=total, at=clock())
        if report is not None:
            report(step, done, total)

    try:
        yield tell
    except BaseException as error:  # Ctrl-C and the end of the process group too: the next start goes on at once
        jobs.fail(name=name, error=str(error) or type(error).__name__, at=clock())
        raise
    leave(name=name, at=clock())
