"""What every test can use, and the rule that a test which needs something absent is listed as *not run*."""

from __future__ import annotations

import functools
import gc
import importlib.util
import io
import logging.config
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.utils import translation
from playwright.sync_api import Browser
from pytest_django import DjangoDbBlocker

# How long an example takes says something about the machine and its other users, nothing about the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

NOT_RUN = "not run: "
OPTIONAL = "optional extra "
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = os.environ.get("HOLDOUT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@functools.cache
def is_available(need: str) -> bool:
    """Tell whether what the marker `need` asks for is on this machine."""
    return {
        "postgres": lambda: _answers("127.0.0.1", 5432),
        "redis": lambda: _answers("127.0.0.1", 6379),
        "browser": lambda: CHROMIUM is not None,
        "node": lambda: shutil.which("node") is not None and shutil.which("npm") is not None,
        "java": lambda: shutil.which("java") is not None,
    }[need]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about SQLite itself where the suite uses another database."""
    from django.db import connection

    if connection.vendor != "sqlite":
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("sqlite")])
        items[:] = [item for item in items if not item.get_closest_marker("sqlite")]


def pytest_collection_finish() -> None:
    """Leave what was collected and imported out of every later garbage collection: it lives as long as the process."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for need in ("postgres", "redis", "browser", "node", "java"):
        if item.get_closest_marker(need) and not is_available(need):
            pytest.skip(f"{NOT_RUN}needs {need}")
    for marker in item.iter_markers("extra"):
        if importlib.util.find_spec(marker.args[0]) is None:
            pytest.skip(f"{NOT_RUN}{OPTIONAL}{marker.args[0]}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NOT_RUN in str(report.longrepr)]
    if skipped:
        terminalreporter.section("not run")
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}  ({str(report.longrepr[2]).split(NOT_RUN)[-1]})")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With HOLDOUT_REQUIRE_ALL=1 (CI), a test that did not run fails the session, unless an extra is all it lacks."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("HOLDOUT_REQUIRE_ALL") != "1" or reporter is None or exitstatus != 0:
        return
    if any(f"{NOT_RUN}{OPTIONAL}" not in str(report.longrepr) for report in reporter.stats.get("skipped", [])):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Log as in production, into a text."""
    from django.conf import settings

    from config.logs import logging_settings

    config = logging_settings(json=True)
    written = io.StringIO()
    config["handlers"]["console"]["stream"] = written
    logging.config.dictConfig(config)
    yield written
    logging.config.dictConfig(settings.LOGGING)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """A page in German leaves its language to the thread, and the next test would read it."""
    yield
    translation.deactivate()


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{NOT_RUN}needs the folder {variable}")
    return Path(value)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """At the end, close the sessions that threads left behind: PostgreSQL drops no database in use."""
    yield
    from django.db import connection

    if connection.vendor == "postgresql":
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(others, [connection.settings_dict["NAME"]])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the session: Playwright's synchronous interface can be started once in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder with the peers' results (stats.json, hillstrom.json, ope.json)."""
    return _folder("HOLDOUT_REFERENCE")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real data sets for measuring."""
    return _folder("HOLDOUT_DATA")


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    """Forget what a process remembers between requests."""
    from django.core.cache import cache

    from experiments.selectors import clear_config_cache
    from marketing.selectors.campaigns import clear_config_cache as forget_campaigns
    from marketing.selectors.segment_references import forget_neutral_segments
    from recommender.services.snapshots import forget_snapshots

    for forget in (cache.clear, clear_config_cache, forget_campaigns, forget_neutral_segments, forget_snapshots):
        forget()
    yield
    for forget in (cache.clear, clear_config_cache, forget_campaigns):
        forget()


@pytest.fixture(autouse=True)
def _emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test with real transactions, empty the tables although triggers forbid deleting from some.

    Django's own clean-up deletes row by row on SQLite, which the append-only tables refuse.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        yield
        return
    request.getfixturevalue("transactional_db")  # torn down after this fixture
    yield
    from django.core.management import call_command
    from django.db import connection

    if connection.vendor != "sqlite":  # elsewhere the clean-up truncates, which fires no row trigger
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = cursor.fetchall()
        for name, _sql in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)
        for _name, sql in triggers:
            cursor.execute(sql)
