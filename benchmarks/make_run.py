"""`make run` as a new user meets it: a fresh clone, an empty pip cache, a HOME of its own.

Measures the seconds from the installed packages to the first page (the demo world is still being made), those of a
second start, and the memory of all processes together (proportional set size): the most while the demo world is being
made, and after a round of every scheduled task.

    python benchmarks/make_run.py [--port 8123] [--keep]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=2) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def memory(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """Return name → MB of every process of the group."""
    found: dict[str, float] = {}
    for child in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        try:
            words, pss = child.cmdline(), child.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
        marks = ("granian", "worker", "beat", "seed_demo", "config.supervisor")
        name = next((mark for mark in marks if mark in words), "make")
        found[name] = found.get(name, 0.0) + pss
    return found


def described(what: str, found: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {size:.0f}" for name, size in found.items())
    return f"{what:21} {sum(found.values()):6.0f} MB: {parts}"


def start(folder: Path, environment: dict[str, str], port: int) -> tuple[subprocess.Popen[bytes], float]:
    """Start `make run`; return the process and the seconds to the first page."""
    began = time.monotonic()
    log = (folder / "run.log").open("ab")
    process = subprocess.Popen(
        ["make", "run"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    while not answers(port):
        if process.poll() is not None:
            raise SystemExit(f"make run ended early:\n{(folder / 'run.log').read_text()[-3000:]}")
        time.sleep(0.05)
    return process, time.monotonic() - began


def stop(process: subprocess.Popen[bytes]) -> float:
    """Send Ctrl-C to the terminal's group; return the seconds until all of it is gone."""
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=60)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--wait", type=float, default=330.0, help="seconds until the schedule has gone round once")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="holdout-fresh-"))
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    (folder / "home").mkdir()
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("HOLDOUT", "DJANGO", "VIRTUAL"))
    }
    environment |= {
        "HOME": str(folder / "home"),
        "PIP_CACHE_DIR": str(folder / "home/cache"),
        "HOLDOUT_PORT": str(options.port),
    }
    began = time.monotonic()
    subprocess.run(["make", ".venv/.installed"], cwd=folder, env=environment, check=True, capture_output=True)
    print(f"packages installed in {time.monotonic() - began:6.1f} s")
    process, seconds = start(folder, environment, options.port)
    print(f"first page after      {seconds:6.1f} s (the demo world is being made)")
    peak: dict[str, float] = {}
    began = time.monotonic()
    while time.monotonic() - began < 300:
        now = memory(process)
        if sum(now.values()) > sum(peak.values()):
            peak = now
        if "seed_demo" not in now and time.monotonic() - began > 5:
            break
        time.sleep(0.5)
    print(f"demo world after      {time.monotonic() - began:6.1f} s more; {described('most memory', peak)}")
    time.sleep(options.wait)
    print(described("steady memory", memory(process)))
    print(f"stopped in            {stop(process):6.1f} s")
    process, seconds = start(folder, environment, options.port)
    print(f"second start          {seconds:6.1f} s")
    stop(process)
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
