from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from marketing.services.demo.apart import Report, WorkFailed, in_a_child


@pytest.fixture(autouse=True)
def _keep_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's connections hold the test's transaction; a command's would be closed."""
    monkeypatch.setattr("marketing.services.demo.apart.connections.close_all", lambda: None)


def test_in_a_child__work__is_done_elsewhere_and_reports_here() -> None:
    heard: list[tuple[str, int, int]] = []
    in_a_child(lambda say: say(str(os.getpid()), 1, 2), lambda *news: heard.append(news))
    assert [news[1:] for news in heard] == [(1, 2)]
    assert heard[0][0] != str(os.getpid())


def test_in_a_child__error__is_told_with_its_words() -> None:
    def work(say: Report) -> None:
        raise ValueError("no room for 300 items")

    with pytest.raises(WorkFailed, match="ValueError: no room for 300 items"):
        in_a_child(work, lambda *news: None)


def test_in_a_child__killed__is_no_success() -> None:
    with pytest.raises(WorkFailed, match="status -9"):
        in_a_child(lambda say: os.kill(os.getpid(), signal.SIGKILL), lambda *news: None)


def test_in_a_child__waiting_interrupted__child_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "still here"

    def work(say: Report) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        say("begun", 0, 1)
        time.sleep(1)
        mark.touch()

    def interrupted(*news: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_a_child(work, interrupted)
    time.sleep(1.2)
    assert not mark.exists()
