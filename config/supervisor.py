"""`make run`: web server, Celery worker and beat as one foreground group that stops together.

Steps: the port is free → tables, roles and schedule stand → the web server runs → the demo world is made beside it →
worker and beat run (before, their tasks would only compete with the seeding for memory and the database; what people
send meanwhile is on disk and drained then). A process that dies is started again; one that keeps dying stops the group.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Final

PYTHON = sys.executable
SETTLED: Final = 60.0  # seconds; a process that ran so long had started well
MOST_RESTARTS: Final = 5  # one after the other without settling; beyond it something is broken for good
LONGEST_PAUSE: Final = 15.0  # seconds between tries of what may be waiting for the database
PR_SET_PDEATHSIG: Final = 1
# Less memory: checks were made by `prepare` and would load every view again; glibc keeps a heap per thread otherwise;
# Arrow's own allocator holds 13 MB in each process that analyzes, for tables of a few.
LEAN: Final = {"CELERY_SKIP_CHECKS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
GRACE: Final = 10.0  # seconds between asking and killing
BLOCKING_THREADS: Final = 4
# Two, so that draining goes on while a model trains. A child that grew is replaced (the settings have the limit):
# measured 88 MB for all three processes after a round of every task, where one process with threads stayed at 220.
WORKER_PROCESSES: Final = 2


@dataclass
class Member:
    """One process of the group."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    is_once: bool = False
    waits: bool = False
    """Starts when the one-time jobs have ended."""
    is_patient: bool = False
    """Is tried again for as long as it takes: without the database it ends, and the web server goes on."""
    started_at: float = 0.0
    not_before: float = 0.0
    short_runs: int = 0
    """Runs, one after the other, that ended before they settled."""

    def start(self) -> None:
        """Start the process in a session of its own, so that a terminal's Ctrl-C reaches only the supervisor."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603  (our own commands)
            self.command,
            start_new_session=True,
            env=os.environ | LEAN,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  (the supervisor has one thread)
        )

    def sweep(self) -> None:
        """Kill what a dead process has left of its group: orphaned children would go on serving."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def keeps_dying(self) -> bool:
        """Count the run that has just ended; return whether starting again is of no use."""
        is_short = time.monotonic() - self.started_at < SETTLED
        self.short_runs = self.short_runs + 1 if is_short else 0
        return self.short_runs > MOST_RESTARTS


def _end_with_parent() -> None:
    """Ask the kernel (Linux) for a SIGTERM when the supervisor dies, even by `kill -9`."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def why_not_bound(host: str, port: int) -> str:
    """Return why `host:port` cannot be listened on, and which setting changes that; empty when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"Port {port} on {host} is taken. Choose another: HOLDOUT_PORT={port + 1} make run"
            return f"HOLDOUT_HOST={host}, HOLDOUT_PORT={port}: cannot be listened on: {error.strerror}."
    return ""


def say(text: str) -> None:
    """Write a line for the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def members(host: str, port: int, *, workers: int, with_demo: bool) -> list[Member]:
    """Return the processes of the group, web server first."""
    web = [PYTHON, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port), "--no-ws"]
    web += ["--workers", str(workers), "--blocking-threads", str(BLOCKING_THREADS), "--log-level", "warning"]
    web += ["--respawn-failed-workers", "config.wsgi:application"]
    worker = [PYTHON, "-m", "celery", "--app", "config", "--quiet", "worker", "--loglevel", "warning"]
    worker += ["--pool", "prefork", "--concurrency", str(WORKER_PROCESSES), "--hostname", "worker@%h"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = [PYTHON, "-m", "celery", "--app", "config", "--quiet", "beat", "--loglevel", "warning", "--pidfile", ""]
    group = [Member("web", web), Member("worker", worker, waits=with_demo, is_patient=True)]
    group.append(Member("beat", beat, waits=with_demo, is_patient=True))
    if with_demo:
        group.append(Member("demo", [PYTHON, "manage.py", "seed_demo", "--if-empty", "--in-parts"], is_once=True))
    return group


class Group:
    """The running processes and how they end."""

    def __init__(self, group: list[Member]) -> None:
        self.group = group
        self.is_stopping = False

    def run(self) -> int:
        """Keep the group running until a signal or a process that keeps dying; return the exit status."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        for member in self.group:
            if not member.waits:
                member.start()
        status = 0
        while not self.is_stopping:
            self._start_waiting()
            time.sleep(0.2)
            for member in [one for one in self.group if one.has_ended()]:
                if not self._replace(member):
                    status = 1
                    self.is_stopping = True
        self.stop()
        return status

    def _start_waiting(self) -> None:
        if any(member.is_once for member in self.group):
            return
        for member in self.group:
            if member.waits and member.process is None and time.monotonic() >= member.not_before:
                member.start()

    def _replace(self, member: Member) -> bool:
        if self.is_stopping:
            return True
        if member.is_once:
            self.group.remove(member)
            return True
        keeps_dying = member.keeps_dying()
        if member.is_patient:
            self._pause(member)
            return True
        if keeps_dying:
            say(f"{member.name} keeps stopping; its messages are above. Everything is stopped.")
            return False
        say(f"{member.name} stopped unexpectedly and is started again.")
        member.sweep()
        member.start()
        return True

    def _pause(self, member: Member) -> None:
        pause = min(LONGEST_PAUSE, 2.0 ** (member.short_runs - 1)) if member.short_runs > 1 else 0.0
        say(f"{member.name} stopped unexpectedly and is started again{f' in {pause:.0f} s' if pause else ''}.")
        member.sweep()
        member.process, member.waits, member.not_before = None, True, time.monotonic() + pause

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.is_stopping = True

    def stop(self) -> None:
        """Ask every process to end, wait, then kill whole groups that did not."""
        alive = [one.process for one in self.group if one.process is not None and one.process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in alive:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
        for member in self.group:
            member.sweep()
        for process in alive:
            process.wait()


@dataclass(frozen=True, slots=True)
class Site:
    """What the supervisor needs to know of the installation."""

    host: str
    port: int
    workers: int
    with_demo: bool
    sign_in_path: str
    """Empty where no link is to be shown."""


def prepare() -> Site | str:
    """Bring tables, roles and schedule up to date; return the site, or why it cannot start."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from config.checks import refuse_unsafe_settings
    from config.signin import one_time_path
    from marketing.services.reviews import start_alone
    from marketing.services.setup import first_user

    refuse_unsafe_settings()  # the web process refuses, too, but beside it worker and beat would run on
    host, port = settings.HOST, settings.PORT
    if why_not := why_not_bound(host, port):
        return why_not
    call_command("migrate", interactive=False, verbosity=0, skip_checks=False)
    call_command("prepare", verbosity=0)
    workers = 2 if settings.PRODUCTION else 1
    user = first_user()
    if not settings.PRODUCTION:
        start_alone(at=datetime.now(UTC))
    # In production the terminal is a log that many can read: no link for somebody who has a password.
    path = "" if settings.PRODUCTION and user.has_usable_password() else one_time_path(user)
    return Site(host, port, workers, with_demo=settings.DEMO, sign_in_path=path)


def prepared_or_reason() -> Site | str:
    """Run `prepare`; what an operator can put right is said in one sentence, without a traceback."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import OperationalError

    try:
        return prepare()
    except ImproperlyConfigured as error:
        return str(error)
    except OperationalError as error:
        return f"The database that DATABASE_URL names cannot be used: {error}"


def prepare_apart() -> Site | str | None:
    """Run `prepare` in a process that ends: Django's memory is not needed while the group runs. None: it failed."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: sender.send(prepared_or_reason()))
    child.start()
    sender.close()
    try:
        return receiver.recv()  # type: ignore[no-any-return]  # what prepare() returned, from our own child
    except EOFError:
        return None
    finally:
        child.join()


def main() -> int:
    """Run the group in the foreground; return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    say("Holdout: preparing the database …")
    site = prepare_apart()
    if site is None:
        return 1
    if isinstance(site, str):
        say(site)
        return 2
    address = f"http://{site.host}:{site.port}"
    sign_in = f"  Sign in (once):  {address}{site.sign_in_path}\n" if site.sign_in_path else ""
    say(f"\n  Holdout runs at  {address}\n{sign_in}  Stop with Ctrl-C.\n")
    return Group(members(site.host, site.port, workers=site.workers, with_demo=site.with_demo)).run()


if __name__ == "__main__":
    sys.exit(main())
