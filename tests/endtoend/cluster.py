"""A PostgreSQL server of its own, to be killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from tests.endtoend.stack import free_port


class Cluster:
    """One server in a folder of its own; fsync stays on, as in production."""

    def __init__(self) -> None:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self.binaries = binaries[-1] if binaries else Path(shutil.which("pg_ctl") or "").parent
        self.folder = Path(tempfile.mkdtemp(prefix="holdout-cluster-"))
        self.port = free_port()
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "holdout", "--auth", "trust", "-E", "UTF8")

    @property
    def url(self) -> str:
        return f"postgres://holdout@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, after a kill, too; what it had committed is there again when this returns."""
        options = f"-p {self.port} -c unix_socket_directories={self.folder} -c listen_addresses=127.0.0.1"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-o", options, "-w", "-t", "60", "start")

    def kill(self) -> None:
        """Kill the server and all its processes at once; a while later they are gone."""
        server = psutil.Process(self._pid())
        for process in [server, *server.children(recursive=True)]:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        psutil.wait_procs([server], timeout=10)
        time.sleep(0.5)

    def remove(self) -> None:
        """Stop it and remove what it kept."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        by = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*by, f"{self.binaries}/{program}", *arguments],
            cwd="/",
            check=check,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
