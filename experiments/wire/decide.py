"""The application that answers decisions; `config/wsgi.py` hands it the paths below and the gate of client keys."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Final

from django.db import DatabaseError, connection

from experiments.errors import GateClosed, TooManyRequests
from experiments.ports import Gate
from experiments.wire import growthbook, ofrep
from experiments.wire.http import PREFLIGHT, RETRY_AFTER, Answer, Environ, Refused, StartResponse, bearer_key, send

_ONE: Final = f"{ofrep.PATH}/"
PREFIXES: Final = (_ONE, growthbook.FEATURES, growthbook.EVALUATE)
PATHS: Final = frozenset({ofrep.PATH, growthbook.TRACK})
TIDY_EVERY: Final = 1.0  # seconds; to look at the connection costs a tenth of a decision
log = logging.getLogger(__name__)


def is_decision(path: str) -> bool:
    """Whether this application answers the path."""
    return path in PATHS or path.startswith(PREFIXES)


class Decide:
    """A WSGI application over one `Gate`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._payloads = growthbook.Payloads()
        self._tidied = threading.local()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            answer = self._answer(environ)
        except Refused as refused:
            answer = ofrep.refusal(refused)
        except GateClosed as error:
            answer = ofrep.refusal(Refused("401 Unauthorized", "GENERAL", str(error)))
        except TooManyRequests as error:
            wait = [("Retry-After", str(error.seconds))]
            answer = ofrep.refusal(Refused("429 Too Many Requests", "GENERAL", str(error), wait))
        except (DatabaseError, OSError):
            # Nothing is known yet, an earlier exposure had to be looked up, or the disk is full.
            log.exception("a client could not be answered")
            wait = [("Retry-After", RETRY_AFTER)]
            answer = ofrep.refusal(Refused("503 Service Unavailable", "GENERAL", "not available now", wait))
        self._tidy_up()
        return send(answer, start_response)

    def _tidy_up(self) -> None:
        """Let go of a connection that is broken or old: no Django request ends here that would do it."""
        now = time.monotonic()
        if now - getattr(self._tidied, "at", 0.0) > TIDY_EVERY:
            self._tidied.at = now
            if connection.connection is not None and not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()

    def _answer(self, environ: Environ) -> Answer:
        path: str = environ["PATH_INFO"]
        method: str = environ["REQUEST_METHOD"]
        if method == "POST" and path.startswith(_ONE):
            self._gate.admit(bearer_key(environ))
            return ofrep.evaluate_one(environ, path[len(_ONE) :], segments=self._gate.segments, at=datetime.now(UTC))
        if method == "OPTIONS":
            return Answer("204 No Content", b"", PREFLIGHT)
        if path.startswith(growthbook.FEATURES):
            _demand(environ, "GET")
            self._gate.admit(path.removeprefix(growthbook.FEATURES))
            return self._payloads.answer(environ, at=datetime.now(UTC))
        _demand(environ, "POST")
        if path.startswith(growthbook.EVALUATE):
            self._gate.admit(path.removeprefix(growthbook.EVALUATE))
            return growthbook.evaluate_remotely(environ, segments=self._gate.segments, at=datetime.now(UTC))
        if path == growthbook.TRACK:
            return self._track(environ)
        self._gate.admit(bearer_key(environ))
        return ofrep.evaluate_all(environ, segments=self._gate.segments, at=datetime.now(UTC))

    def _track(self, environ: Environ) -> Answer:
        self._gate.report(_query(environ, "client_key"), growthbook.tracked_messages(environ))
        return Answer("200 OK", b"{}")


def _demand(environ: Environ, method: str) -> None:
    if environ["REQUEST_METHOD"] != method:
        allow = [("Allow", f"{method}, OPTIONS")]
        raise Refused("405 Method Not Allowed", "GENERAL", f"ask with {method}", allow)


def _query(environ: Environ, name: str) -> str:
    for pair in environ.get("QUERY_STRING", "").split("&"):
        key, _, value = pair.partition("=")
        if key == name:
            return str(value)
    return ""
