"""Several actions at the same moment, each on a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connection


def at_once(*actions: Callable[[], object]) -> list[Exception]:
    """Run the actions on connections of their own, begun together; return what they raised."""
    errors: list[Exception] = []
    together = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> None:
        try:
            together.wait(timeout=10)
            action()
        except Exception as error:  # noqa: BLE001 (the assertion is about what was raised)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return errors
