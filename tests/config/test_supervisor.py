from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from config import supervisor
from config.supervisor import Group, Member
from tests.endtoend.stack import until


def sleeper(*, name: str = "sleeper", code: str = "import time; time.sleep(60)") -> Member:
    return Member(name, [sys.executable, "-c", code])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def group_exists(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    return True


def test_port__taken__is_seen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"HOLDOUT_PORT={port + 1}" in supervisor.why_not_bound("127.0.0.1", port)
    assert supervisor.why_not_bound("127.0.0.1", port) == ""


def test_port__address_of_no_machine__names_the_setting_and_not_the_port() -> None:
    assert supervisor.why_not_bound("192.0.2.1", 8000).startswith("HOLDOUT_HOST=192.0.2.1")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"HOLDOUT_ENV": "production"}, "HOLDOUT_SECRET_KEY is not set."),
        ({"HOLDOUT_PORT": "eighty"}, "HOLDOUT_PORT='eighty' is not a whole number."),
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/x"}, "The database that DATABASE_URL names cannot be used"),
    ],
)
def test_main__settings_that_cannot_be__says_so_in_a_sentence_and_starts_nothing(
    setting: dict[str, str], said: str, tmp_path: Path
) -> None:
    surroundings = {name: value for name, value in os.environ.items() if name != "HOLDOUT_SECRET_KEY"}
    done = subprocess.run(
        [sys.executable, "-m", "config.supervisor"],
        env={
            **surroundings,
            "HOLDOUT_DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **setting,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Holdout runs at" not in done.stdout


def test_main__port_taken__names_the_setting_and_exits_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "config.supervisor"],
            env={**os.environ, "HOLDOUT_PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"HOLDOUT_PORT={port + 1} make run" in done.stdout


def test_group__signal__stops_every_process() -> None:
    members = [sleeper(), sleeper(name="stubborn", code="import signal,time; signal.signal(15,1); time.sleep(60)")]
    group = Group(members)
    for member in members:
        member.start()
    time.sleep(0.5)
    pids = [member.process.pid for member in members if member.process is not None]
    supervisor.GRACE, kept = 0.5, supervisor.GRACE  # type: ignore[misc]  # shortens the wait for this test only
    try:
        group.stop()
    finally:
        supervisor.GRACE = kept  # type: ignore[misc]  # restores the constant
    assert not any(is_alive(pid) for pid in pids)


def test_group__process_dies__is_started_again_and_orphans_are_swept() -> None:
    sleep = "import time; time.sleep(60)"
    member = sleeper(code=f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{sleep}']); {sleep}")
    group = Group([member])
    member.start()
    assert member.process is not None
    time.sleep(0.7)
    first = member.process.pid
    os.kill(first, signal.SIGKILL)
    member.process.wait()
    assert group._replace(member)
    assert member.process.pid != first
    until(lambda: not group_exists(first), what="end of the orphan", patience=5)
    group.stop()


def test_group__process_keeps_dying__gives_up() -> None:
    member = sleeper(code="raise SystemExit(3)")
    assert Group([member]).run() == 1
    assert member.short_runs == supervisor.MOST_RESTARTS + 1


def test_group__patient_process_keeps_dying__is_tried_again_after_a_pause(tmp_path: Path) -> None:
    log = tmp_path / "log"
    member = sleeper(code=f"open({str(log)!r}, 'a').write('x'); raise SystemExit(3)")
    member.is_patient = True
    member.short_runs = supervisor.MOST_RESTARTS
    group = Group([member])
    threading.Timer(4.0, group._on_signal, (signal.SIGTERM, None)).start()
    assert group.run() == 0
    assert log.read_text() == "x"
    assert member.not_before - time.monotonic() > supervisor.LONGEST_PAUSE - 5


def test_group__process_dies_after_it_settled__is_counted_anew() -> None:
    member = sleeper()
    member.short_runs = supervisor.MOST_RESTARTS
    member.started_at = time.monotonic() - supervisor.SETTLED - 1
    assert not member.keeps_dying()
    assert member.short_runs == 0


def test_group__one_time_job_runs__waiting_process_starts_after_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write = "import pathlib, time; p = pathlib.Path({path!r}); p.open('a').write({word!r})"
    job = sleeper(code="import time; time.sleep(0.6);" + write.format(path=str(log), word="job "))
    job.is_once = True
    late = sleeper(code=write.format(path=str(log), word="late ") + "; time.sleep(60)")
    late.waits = True
    group = Group([late, job])
    threading.Timer(3.0, group._on_signal, (signal.SIGTERM, None)).start()
    assert group.run() == 0
    assert log.read_text() == "job late "


def test_group__one_time_job_ends__is_not_repeated() -> None:
    job = Member("demo", [sys.executable, "-c", "pass"], is_once=True)
    group = Group([job])
    job.start()
    assert job.process is not None
    job.process.wait()
    assert group._replace(job)
    assert group.group == []


def test_members__demo_off__makes_no_demo_world() -> None:
    assert [member.name for member in supervisor.members("h", 1, workers=1, with_demo=False)] == [
        "web",
        "worker",
        "beat",
    ]
    *_, worker, beat, demo = supervisor.members("h", 1, workers=1, with_demo=True)
    assert demo.is_once
    assert worker.waits
    assert beat.waits


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("is_production", "password", "shows"),
    [(True, "long enough", False), (True, None, True), (False, "long enough", True)],
)
def test_prepare__superuser_with_a_password_in_production__shows_no_link(
    is_production: bool, password: str | None, shows: bool, settings: Settings
) -> None:
    settings.PORT = 0
    settings.PRODUCTION = is_production
    settings.DEMO = settings.SECRET_KEY_WAS_GENERATED = False
    settings.SECRET_KEY, settings.ALLOWED_HOSTS = "k" * 60, ["shop.example"]
    User.objects.create_superuser("root", password=password)
    site = supervisor.prepare()
    assert isinstance(site, supervisor.Site)
    assert bool(site.sign_in_path) is shows
