from __future__ import annotations

import threading

import pytest

from recommender.services import bounded
from recommender.services.bounded import COMPUTING, Threads, TookTooLong, call_bounded, call_later
from tests.endtoend.stack import until


def test_call__inside_a_transaction__runs_here(db: None) -> None:
    assert call_bounded(threading.get_ident, seconds=0) == threading.get_ident()


@pytest.mark.django_db(transaction=True)
def test_call__outside__another_thread_its_result_and_its_error(caplog: pytest.LogCaptureFixture) -> None:
    assert call_bounded(threading.get_ident, seconds=5) != threading.get_ident()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_bounded(fail, seconds=5)
    until(
        lambda: "a call in a thread failed" in caplog.text, what="line in the log", patience=5
    )  # written by the thread


@pytest.mark.django_db(transaction=True)
def test_call__raises_a_timeout_of_its_own__passed_on() -> None:
    def fail() -> None:
        raise TimeoutError("the network's")

    with pytest.raises(TimeoutError, match="the network's"):
        call_bounded(fail, seconds=5)


@pytest.mark.django_db(transaction=True)
def test_call__late__caller_goes_on_and_the_call_ends_anyway() -> None:
    release, done = threading.Event(), threading.Event()

    def slow() -> None:
        release.wait(5)
        done.set()

    with pytest.raises(TookTooLong, match="no answer within 10 ms"):
        call_bounded(slow, seconds=0.01)
    release.set()
    assert done.wait(5)


@pytest.mark.django_db(transaction=True)
def test_call__too_many_waiting__refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_WAITING", 1)
    release, few = threading.Event(), Threads(1)
    with pytest.raises(TookTooLong, match="no answer"):
        call_bounded(lambda: release.wait(5), seconds=0.01, threads=few)
    with pytest.raises(TookTooLong, match="too many"):
        call_bounded(threading.get_ident, seconds=5, threads=few)
    release.set()


@pytest.mark.django_db(transaction=True)
def test_call__all_readers_wait_for_the_database__computing_goes_on() -> None:
    release = threading.Event()
    for _ in range(bounded.READING_THREADS):
        with pytest.raises(TookTooLong):
            call_bounded(lambda: release.wait(5), seconds=0.01)
    with pytest.raises(TookTooLong):
        call_bounded(threading.get_ident, seconds=0.05)
    assert call_bounded(threading.get_ident, seconds=5, threads=COMPUTING) != threading.get_ident()
    release.set()


def test_later__inside_a_transaction__runs_here_and_raises(db: None) -> None:
    seen: list[int] = []
    call_later(lambda: seen.append(threading.get_ident()))
    assert seen == [threading.get_ident()]
    with pytest.raises(ZeroDivisionError):
        call_later(lambda: 1 / 0)


@pytest.mark.django_db(transaction=True)
def test_later__outside__nobody_waits_one_after_another_and_failures_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, order = threading.Event(), []

    def slow() -> None:
        release.wait(5)
        order.append("slow")

    call_later(slow)
    call_later(lambda: order.append("quick"))
    call_later(lambda: 1 / 0)
    assert order == []
    release.set()
    until(lambda: "a call in a thread failed" in caplog.text, what="line in the log", patience=5)
    assert order == ["slow", "quick"]


@pytest.mark.django_db(transaction=True)
def test_later__too_many_waiting__refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_WAITING", 0)
    monkeypatch.setattr(bounded, "_WRITING", Threads(1))
    with pytest.raises(TookTooLong, match="too many"):
        call_later(threading.get_ident)
