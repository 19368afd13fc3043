"""A whole installation of its own: real web server, worker and beat on a free port, with its own data folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
SHIFTED_CLOCK = Path(__file__).parent / "shifted_clock"
PATIENCE = 90.0  # seconds; a busy machine of two cores needs some of it at start

Found = TypeVar("Found")


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(look: Callable[[], Found | None], *, what: str, patience: float = PATIENCE, pause: float = 0.3) -> Found:
    """Return the first result of `look` that is not None or False; fail naming `what` when patience ends."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"after {patience:.0f} s there was still no {what}")


@dataclass
class Stack:
    """The processes of one installation; `shift` moves its clock by so many seconds."""

    folder: Path
    database_url: str = ""
    port: int = field(default_factory=free_port)
    shift: float = 0.0
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "stack.log"

    def environment(self) -> dict[str, str]:
        """Return the environment of every process of this installation."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDOUT_", "DJANGO_", "COV_"))}
        kept.pop("REDIS_URL", None)
        kept.pop("DATABASE_URL", None)
        kept |= {
            "HOLDOUT_DATA_DIR": str(self.folder / "data"),
            "HOLDOUT_PORT": str(self.port),
            "HOLDOUT_DEMO": "0",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONUNBUFFERED": "1",
        }
        if self.database_url:
            kept["DATABASE_URL"] = self.database_url
        if self.shift:
            kept["HOLDOUT_TEST_CLOCK_SHIFT"] = str(self.shift)
            kept["PYTHONPATH"] = str(SHIFTED_CLOCK)
        return kept | self.extra

    def start(self) -> None:
        """Start the group and wait for its first answer."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "config.supervisor"],
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self.answers, what=f"answer from {self.url}; the log is {self.log}")

    def answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the stack ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, *, how: int = signal.SIGTERM) -> None:
        """End the group as Ctrl-C would."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
            self.process.wait(timeout=60)
        self.process = None

    def sign_in_path(self) -> str:
        """Return the newest one-time sign-in path from the terminal."""
        links = re.findall(r"Sign in \(once\):\s+\S+?(/accounts/one-time/\S+)", self.log.read_text())
        assert links, "the terminal shows no sign-in link"
        return str(links[-1])

    def manage(self, *arguments: str, expect: int = 0) -> str:
        """Run a management command in this installation; return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, code: str) -> str:
        """Run Python in this installation, with Django set up; return what it printed."""
        return self.manage("shell", "--no-imports", "-v", "0", "-c", code)


def postgres_database() -> tuple[str, Callable[[], None]]:
    """Return the URL of a new PostgreSQL database and how to drop it."""
    import psycopg

    base = os.environ.get("HOLDOUT_TEST_POSTGRES", "postgres://root@127.0.0.1:5432/postgres")
    name = f"holdout_e2e_{uuid.uuid4().hex[:10]}"

    def execute(statement: Any) -> None:
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(statement)

    execute(f"CREATE DATABASE {name}")
    return base.rsplit("/", 1)[0] + f"/{name}", lambda: execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
