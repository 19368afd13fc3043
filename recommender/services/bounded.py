"""Calls that must not take longer than a page may wait.

Inside a transaction the call runs where it is: another connection would not see what the caller has written. So does
the call of somebody who has any amount of time, since handing it to a thread would only cost. Otherwise it runs in one
of a few threads with database connections of their own, and the caller waits no longer than its budget.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from django.db import close_old_connections, connection

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

THREADS = 4
MAX_WAITING = 100
"""Calls under way or waiting per process; beyond it a slow database would only be made slower."""

_slots = threading.BoundedSemaphore(MAX_WAITING)
_write_slots = threading.BoundedSemaphore(MAX_WAITING)
_readers: list[ThreadPoolExecutor] = []
_writer: list[ThreadPoolExecutor] = []
_pool_lock = threading.Lock()


class TookTooLong(Exception):
    """The budget ended, or too many calls are waiting already."""


def call_bounded(call: Callable[[], Result], *, seconds: float) -> Result:
    """The result of `call`; raises `TookTooLong` after `seconds`, and whatever the call raised.

    A call that is late runs on, and nobody waits for it.
    """
    if connection.in_atomic_block or math.isinf(seconds):
        return call()
    if not _slots.acquire(blocking=False):
        raise TookTooLong("too many calls are waiting")
    future = _executor(_readers, threads=THREADS).submit(_run, call)
    future.add_done_callback(_finished)
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
        return
    if not _write_slots.acquire(blocking=False):
        raise TookTooLong("too many writes are waiting")
    future = _executor(_writer, threads=1).submit(_run, call)
    future.add_done_callback(_written)


def _run(call: Callable[[], Result]) -> Result:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()


def _written(future: Future[object]) -> None:
    _write_slots.release()
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.error("a write behind the request failed: %s", error)


def _finished(future: Future[Result]) -> None:
    _slots.release()
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.warning("bounded call failed: %s", error)


def _executor(pool: list[ThreadPoolExecutor], *, threads: int) -> ThreadPoolExecutor:
    """Made at first use, so that a forked worker has threads of its own."""
    with _pool_lock:
        if not pool:
            pool.append(ThreadPoolExecutor(max_workers=threads, thread_name_prefix="recommender"))
        return pool[0]
