from __future__ import annotations

import io
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from marketing.errors import DemoIsBusy
from marketing.management.commands import seed_demo as command
from marketing.models import Job, Profile
from marketing.services import jobs
from marketing.services.demo import job
from marketing.services.demo.job import Pending
from marketing.services.demo.meter import Report
from marketing.services.demo.names import Step
from tests.factories.marketing import make_profile
from tests.marketing.demo.conftest import AT, ignore

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """The command listens to SIGTERM; the tests' process does not keep that."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of the builder, which makes one demo person instead of a world."""
    calls: list[dict[str, Any]] = []

    def play(**options: Any) -> None:
        calls.append(options)
        options["report"]("Meeting the people", 1, 3)
        Profile.objects.create(is_demo=True, sample_bucket=0, created_at=options["at"])

    def read(*, at: datetime, report: Report, done: int, total: int) -> None:
        report(Step.RESULTS, done, total)
        report(Step.RESULTS, done + 1, total)

    monkeypatch.setattr("marketing.services.demo.seed.play_demo", play)
    monkeypatch.setattr("marketing.services.demo.results.read_results", read)
    return calls


def build(*, clock_at: datetime = AT) -> None:
    job.build(seed=1, profiles=10, lift=0.5, clock=lambda: clock_at, report=ignore)
    job.read_results(clock=lambda: clock_at, report=ignore)


def test_build__done__is_recorded_with_its_progress(built: list[dict[str, Any]]) -> None:
    build()
    record = Job.objects.get(name="demo")
    assert (record.state, record.done, record.total) == (Job.State.DONE, 2, 3)
    assert built[0]["at"] == AT
    assert (built[0]["seed"], built[0]["profiles"], built[0]["lift"]) == (1, 10, 0.5)


@pytest.mark.parametrize("error", [RuntimeError("no room"), KeyboardInterrupt("no room"), SystemExit("no room")])
def test_build__ends_early__is_kept_as_failed(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(**_options: Any) -> None:
        raise error

    monkeypatch.setattr("marketing.services.demo.seed.play_demo", fail)
    with pytest.raises(type(error)):
        build()
    record = Job.objects.get(name="demo")
    assert (record.state, record.error) == (Job.State.FAILED, "no room")
    assert job.pending() == Pending.SEED


def test_read_results__ends_early__is_all_that_is_done_again(
    monkeypatch: pytest.MonkeyPatch, built: list[dict[str, Any]]
) -> None:
    def die(*, report: Report, done: int, total: int, **_options: Any) -> None:
        report(Step.RESULTS, done, total)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("marketing.services.demo.results.read_results", die)
        with pytest.raises(KeyboardInterrupt):
            build()
    assert job.pending() == Pending.RESULTS
    call_command("seed_demo", "--if-empty", stdout=io.StringIO())
    assert job.pending() == Pending.NOTHING
    assert len(built) == 1


def test_build__first_part_is_done__the_second_waits_for_a_process(built: list[dict[str, Any]]) -> None:
    job.build(seed=1, profiles=10, lift=0.5, clock=lambda: AT, report=ignore)
    record = Job.objects.get(name="demo")
    assert (record.state, record.is_under_way) == (Job.State.WAITING, True)


def test_build__while_another_process_builds__is_refused(built: list[dict[str, Any]]) -> None:
    jobs.begin(name="demo", total=1, at=AT)
    with pytest.raises(DemoIsBusy):
        build(clock_at=AT + timedelta(seconds=30))
    with pytest.raises(DemoIsBusy):
        job.remove(clock=lambda: AT + timedelta(seconds=30), report=ignore)
    assert built == []


def test_build__after_a_process_that_was_killed__takes_over(built: list[dict[str, Any]]) -> None:
    jobs.begin(name="demo", total=1, at=AT)
    build(clock_at=AT + timedelta(minutes=3))
    assert len(built) == 1


def test_pending__empty_house__is_to_be_filled() -> None:
    assert job.pending() == Pending.SEED


def test_pending__people_of_one_s_own__are_left_alone() -> None:
    make_profile()
    assert job.pending() == Pending.NOTHING


def test_pending__demo_was_removed__stays_removed(built: list[dict[str, Any]]) -> None:
    build()
    assert job.pending() == Pending.NOTHING
    assert job.remove(clock=lambda: AT + timedelta(hours=1), report=ignore) == 1
    assert job.pending() == Pending.NOTHING
    assert Profile.objects.count() == 0
    build(clock_at=AT + timedelta(hours=2))  # by hand it may come back
    assert job.pending() == Pending.NOTHING
    assert len(built) == 2


def test_pending__removal_was_interrupted__is_finished(
    monkeypatch: pytest.MonkeyPatch, built: list[dict[str, Any]]
) -> None:
    def die(**_options: Any) -> None:
        raise KeyboardInterrupt

    call_command("seed_demo", stderr=io.StringIO(), stdout=io.StringIO())
    with monkeypatch.context() as patched:
        patched.setattr(job, "remove_demo_world", die)
        with pytest.raises(KeyboardInterrupt):
            job.remove(clock=timezone.now, report=ignore)
    assert job.pending() == Pending.REMOVAL
    call_command("seed_demo", "--if-empty", stdout=io.StringIO())
    assert Profile.objects.count() == 0
    assert len(built) == 1


def test_seed_demo__if_empty__fills_once(built: list[dict[str, Any]]) -> None:
    out = io.StringIO()
    for _ in range(2):
        call_command("seed_demo", "--if-empty", "--profiles", "70", "--seed", "3", "--lift", "0.1", stdout=out)
    assert [(call["seed"], call["profiles"], call["lift"]) for call in built] == [(3, 70, 0.1)]
    assert out.getvalue() == "The demo world is ready.\n"


def test_seed_demo__if_empty_and_another_process_builds__waits_for_it(
    monkeypatch: pytest.MonkeyPatch, built: list[dict[str, Any]]
) -> None:
    jobs.begin(name="demo", total=1, at=timezone.now())
    waits = []

    def other_process_finishes(seconds: float) -> None:
        waits.append(seconds)
        jobs.finish(name="demo", at=timezone.now())
        make_profile()

    monkeypatch.setattr(time, "sleep", other_process_finishes)
    call_command("seed_demo", "--if-empty", stdout=io.StringIO())
    assert waits == [command.WAIT]
    assert built == []


def test_seed_demo__busy__says_so(built: list[dict[str, Any]]) -> None:
    jobs.begin(name="demo", total=1, at=timezone.now())
    with pytest.raises(CommandError, match="Another process"):
        call_command("seed_demo")
    with pytest.raises(CommandError, match="Another process"):
        call_command("remove_demo", "--yes")


@pytest.mark.parametrize("arguments", [("--profiles", "49"), ("--lift", "-1"), ("--lift", "1.5")])
def test_seed_demo__nonsense__is_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match="must be"):
        call_command("seed_demo", *arguments)


def test_seed_demo__terminated__leaves_with_the_signal_s_status() -> None:
    with pytest.raises(SystemExit) as left:
        command._leave(signal.SIGTERM, None)
    assert left.value.code == 143


def test_remove_demo__asks_first(monkeypatch: pytest.MonkeyPatch, built: list[dict[str, Any]]) -> None:
    build()
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    with pytest.raises(CommandError, match="Nothing was removed"):
        call_command("remove_demo")
    assert Profile.objects.count() == 1
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    out = io.StringIO()
    call_command("remove_demo", stdout=out)
    assert Profile.objects.count() == 0
    assert "(1 people)" in out.getvalue()
