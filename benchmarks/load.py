"""What the benchmarks of the wires share: installations of their own under granian, wrk, CPU of the server processes.

wrk must be installed (`apt-get install wrk`). On a busy machine wall rates are lower bounds; CPU per request (of the
web processes, and of the database where it is named) is the figure to trust, and ratios are taken within one run.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 4
CONNECTIONS = 16
HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
# The same for a POST: the body is read, the answer is as long as a decision's, with as many headers.
HELLO_POST = """
BODY = b"x" * 160
HEADERS = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "etag, retry-after"),
           ("Content-Type", "application/json"), ("Content-Length", "160")]

def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", HEADERS)
    return [BODY]
"""


@dataclass(frozen=True)
class Load:
    """One run of wrk: requests a second, CPU µs of server and database per request, latency in ms, bad answers."""

    rate: float
    cpu: float
    p50: float
    p99: float
    bad: int

    def __str__(self) -> str:
        bad = f"  {self.bad} bad answers" if self.bad else ""
        return f"{self.rate:9,.0f} req/s  {self.cpu:6.0f} µs CPU  p50 {self.p50:6.2f} ms  p99 {self.p99:6.2f} ms{bad}"


def environment(folder: Path, database_url: str = "") -> dict[str, str]:
    """Return the environment of an installation of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDOUT_", "DJANGO_"))}
    kept.pop("DATABASE_URL", None)
    kept |= {"HOLDOUT_DATA_DIR": str(folder / "data"), "HOLDOUT_DEMO": "0", "DJANGO_SETTINGS_MODULE": "config.settings"}
    kept |= {"PYTHONPATH": f"{ROOT}:{folder}"}
    return kept | ({"DATABASE_URL": database_url} if database_url else {})


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """Make a database on the PostgreSQL server of this URL, give its URL, and drop it; SQLite where there is none."""
    if not server:
        yield ""
        return
    import psycopg

    base, _, _ = server.rpartition("/")
    name = f"holdout_benchmark_{os.getpid()}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{base}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def manage(variables: dict[str, str], *arguments: str) -> str:
    """Run a management command there; return what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout


@contextmanager
def serve(variables: dict[str, str], application: str, *, workers: int = 2) -> Iterator[tuple[str, psutil.Process]]:
    """Run granian with the application; give its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--blocking-threads", "4", "--no-ws", "--log-level", "critical", application]
    process = subprocess.Popen(command, cwd=ROOT, env=variables)
    try:
        _wait(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and all below it."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    return total


def wrk(url: str, server: psutil.Process, *, script: Path | None = None, beside: str = "") -> Load:
    """Load an address for some seconds; `beside` names processes whose CPU counts, too (the database's)."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    others = [one for one in psutil.process_iter(["name"]) if beside and one.info["name"] == beside]
    before = cpu_seconds(server) + sum(_own(one) for one in others)
    known = {one.pid: _own(one) for one in others}
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", *(["-s", str(script)] if script else [])]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(server) - before + sum(known.values())
    for one in psutil.process_iter(["name"]):
        if beside and one.info["name"] == beside:
            spent += _own(one) - known.get(one.pid, 0.0)
    requests = int(_found(r"(\d+) requests in", out))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return Load(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", out)),
        cpu=spent / max(requests, 1) * 1e6,
        p50=_milliseconds(_found(r"\n\s+50%\s+(\S+)", out)),
        p99=_milliseconds(_found(r"\n\s+99%\s+(\S+)", out)),
        bad=int(bad.group(1)) if bad else 0,
    )


def _own(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"wrk said something else:\n{text}")
    return found.group(1)


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
