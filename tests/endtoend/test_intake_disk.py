"""What 200 means: the bytes were synced before it was sent, and a full disk is never a 200."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.endtoend.stack import ROOT, Stack, until
from tests.endtoend.test_intake_faults import prepare_source

pytestmark = [pytest.mark.slow, pytest.mark.worker]
FULL = 64 * 1024  # bytes that a file of the server may have: the disk is full after that
# Opens the application in one process with one thread: what it does is in the order in which it does it.
SERVE = """
import resource, signal
if {most_bytes}:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # write(2) fails with EFBIG, as it does with ENOSPC
    resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, {most_bytes}))
from wsgiref.simple_server import WSGIRequestHandler, make_server
from config.wsgi import application
class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments): pass
make_server("127.0.0.1", {port}, application, handler_class=Quiet).serve_forever()
"""


@contextmanager
def served(stack: Stack, *before: str, most_bytes: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the stack's application without its group; `before` is what the command is run by."""
    command = [*before, sys.executable, "-c", SERVE.format(port=stack.port, most_bytes=most_bytes)]
    with stack.log.open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=stack.environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        until(lambda: send(stack, "", "warm") is not None, what="answer")
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def send(stack: Stack, secret: str, label: str, size: int = 100) -> int | None:
    """Send one message; return the status, None where nobody answers."""
    message = {"type": "track", "event": label, "anonymousId": "a", "messageId": label, "properties": {"x": "y" * size}}
    request = urllib.request.Request(
        f"{stack.url}/v1/track",
        data=json.dumps(message).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(f"{secret}:".encode()).decode()},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def prepared(stack: Stack) -> str:
    stack.manage("migrate", "-v", "0")
    return prepare_source(stack)


def test_200__is_sent__after_write_and_fdatasync(stack: Stack, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("not run: needs strace")
    secret = prepared(stack)
    trace = tmp_path / "trace"
    calls = "trace=write,fdatasync,sendto,sendmsg,writev"
    with served(stack, "strace", "-f", "-s", "200", "-e", calls, "-o", str(trace)):
        for number in range(5):
            assert send(stack, secret, f"traced-{number}") == 200
        time.sleep(0.5)
    lines = trace.read_text().splitlines()
    for number in range(5):
        written = next(at for at, line in enumerate(lines) if f"traced-{number}" in line and "write(" in line)
        descriptor = re.search(r"write\((\d+),", lines[written])
        assert descriptor is not None
        synced = _next(lines, written, rf"fdatasync\({descriptor[1]}\)\s*= 0")
        answered = _next(lines, written, r"HTTP/1\.[01] 200 OK")
        assert written < synced < answered, lines[written : answered + 1]


def _next(lines: list[str], start: int, pattern: str) -> int:
    return next(at for at in range(start, len(lines)) if re.search(pattern, lines[at]))


def test_disk__full__is_503_and_what_was_acknowledged_is_stored(stack: Stack) -> None:
    secret = prepared(stack)
    acknowledged: list[str] = []
    refused: list[str] = []
    # SQLite's own files are larger than the limit: here only reading is asked of the database.
    with served(stack, most_bytes=FULL):
        for number in range(40):
            label = f"m{number}"
            status = send(stack, secret, label, size=5_000)
            assert status in (200, 503), status
            (acknowledged if status == 200 else refused).append(label)
        assert send(stack, secret, "small", size=1) in (200, 503)
    assert len(acknowledged) > 5
    assert len(refused) > 5
    stack.manage("drain")
    stored = stack.run("from marketing.models import Event; print(*Event.objects.values_list('message_id', flat=True))")
    assert set(acknowledged) <= set(stored.split())
    assert not set(refused) & set(stored.split())
