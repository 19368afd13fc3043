"""Calls that must not take longer than a page may wait.

Inside a transaction the call runs where it is: another connection would not see what the caller has written. So does
the call of somebody who has any amount of time, since handing it to a thread would only cost. Otherwise it runs in one
of a few threads with database connections of their own, and the caller waits no longer than its budget. Reading and
computing have threads of their own: where the database is slow, all that read are soon waiting, and a fallback's model
must be asked nevertheless.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from django.db import close_old_connections, connection

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

READING_THREADS = 4
COMPUTING_THREADS = 2
MAX_WAITING = 100
"""Calls of a kind under way or waiting per process; beyond it a slow database would only be made slower."""


class TookTooLong(Exception):
    """The budget ended, or too many calls are waiting already."""


class Threads:
    """A few threads for one kind of call, made at first use, so that a forked worker has its own."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._slots = threading.BoundedSemaphore(MAX_WAITING)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Start the call when its turn comes; raises `TookTooLong` where too many are waiting."""
        if not self._slots.acquire(blocking=False):
            raise TookTooLong("too many calls are waiting")
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix="recommender")
        future = self._pool.submit(_run, call)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Any]) -> None:
        self._slots.release()
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.warning("a call in a thread failed: %s", error)


READING = Threads(READING_THREADS)
COMPUTING = Threads(COMPUTING_THREADS)
_WRITING = Threads(1)


def call_bounded(call: Callable[[], Result], *, seconds: float, threads: Threads = READING) -> Result:
    """The result of `call`; raises `TookTooLong` after `seconds`, and whatever the call raised.

    A call that is late runs on, and nobody waits for it.
    """
    if connection.in_atomic_block or math.isinf(seconds):
        return call()
    future = threads.submit(call)
    try:
        return future.result(timeout=max(0.0, seconds))
    except FutureTimeout:
        if future.done() and future.exception() is not None:
            raise
        raise TookTooLong(f"no answer within {seconds * 1000:.0f} ms") from None


def call_later(call: Callable[[], object]) -> None:
    """Runs `call` behind the caller's back, one after another; raises `TookTooLong` where too many are waiting.

    One thread of its own: slow reads cannot hold writes up, and SQLite has one writer anyway. A process that ends in
    good order finishes what is waiting; one that is killed loses it.
    """
    if connection.in_atomic_block:
        call()
    else:
        _WRITING.submit(call)


def _run(call: Callable[[], Result]) -> Result:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
