"""Work in a process of its own, whose memory is given back when it ends."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

from django.db import connections

Report = Callable[[str, int, int], None]
"""Takes what is being done, how much is done, and how much there is."""
Work = Callable[[Report], object]
Apart = Callable[[Work, Report], None]
"""Does the work and passes on what it reports."""

FAILED: Final = 1


class WorkFailed(Exception):
    """The process ended early; the message is its error's."""


def at_once(work: Work, report: Report) -> None:
    """Do the work where we are."""
    work(report)


def in_a_child(work: Work, report: Report) -> None:
    """Do the work in a forked process that reports to this one.

    Raises `WorkFailed` if it ends early. If this process dies, the child ends at its next report; if something ends the
    wait (Ctrl-C, a signal), the child is ended first.
    """
    connections.close_all()  # none may be shared between two processes
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(work, receiver, sender), daemon=True)
    child.start()
    sender.close()
    error = ""
    try:
        while True:
            step, done, total = receiver.recv()
            if total < 0:
                error = step
            else:
                report(step, done, total)
    except EOFError:
        child.join()
    finally:
        child.terminate()
        child.join()
        receiver.close()
    if child.exitcode:
        raise WorkFailed(error or f"the process ended with status {child.exitcode}")


def _work(work: Work, receiver: Connection, sender: Connection) -> None:
    receiver.close()  # so that a report fails, and this process ends, once nobody listens
    try:
        work(lambda step, done, total: sender.send((str(step), done, total)))
    except Exception as error:
        sender.send((f"{type(error).__name__}: {error}", 0, -1))
        raise
    finally:
        connections.close_all()
