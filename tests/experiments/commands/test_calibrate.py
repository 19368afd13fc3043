from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from experiments.stats.calibration_tables import Row

PAGE = "# Statistics\n\n<!-- calibration: begin -->\nold\n<!-- calibration: end -->\n\nThe rest.\n"


class FakeTask:
    """A task whose row is known."""

    label = "fake"

    def __init__(self, *, passes: bool) -> None:
        self.passes = passes

    def run(self) -> list[Row]:
        return [Row("srm", ("1 : 1", "0.00", "1.00", "2.00", "?"), self.passes)]


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether the criteria hold; the grid is replaced by one row."""
    told = {"passes": True}
    monkeypatch.setattr("experiments.stats.calibration.tasks", lambda *, runs, seed: [FakeTask(passes=told["passes"])])
    return told


def calibrate(*arguments: str) -> str:
    out = StringIO()
    call_command("calibrate", *arguments, stdout=out)
    return out.getvalue()


def test_calibrate__whole_grid_with_few_runs__tells_and_writes_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "statistics.md"
    page.write_text(PAGE, encoding="utf-8")
    told = calibrate("--quick", "--runs", "100", "--seed", "3", "--docs", str(page))
    written = page.read_text(encoding="utf-8")
    assert "with seed 3, 100 runs per cell" in told
    assert told in written
    assert written.startswith("# Statistics\n\n<!-- calibration: begin -->\n\nMeasured on ")
    assert written.endswith("<!-- calibration: end -->\n\nThe rest.\n")
    assert "\nold\n" not in written
    assert written.count("\n| conversion 0.2 % |") == 4 * 4 + 4


def test_calibrate__quick__writes_nothing(outcome: dict[str, bool], settings: object, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "statistics.md"
    page.parent.mkdir()
    page.write_text(PAGE, encoding="utf-8")
    settings.BASE_DIR = tmp_path  # type: ignore[attr-defined]  # pytest-django's settings wrapper
    calibrate("--quick")
    assert page.read_text(encoding="utf-8") == PAGE
    calibrate()
    assert "20,000 runs per cell" in page.read_text(encoding="utf-8")


def test_calibrate__criterion_does_not_hold__fails_after_writing(outcome: dict[str, bool], tmp_path: Path) -> None:
    outcome["passes"] = False
    page = tmp_path / "statistics.md"
    page.write_text(PAGE, encoding="utf-8")
    with pytest.raises(CommandError, match="1 criteria do not hold: srm: 1 : 1"):
        calibrate("--docs", str(page))
    assert "0 of 1 rows hold" in page.read_text(encoding="utf-8")


def test_calibrate__page_missing_or_without_markers__says_so(outcome: dict[str, bool], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written") as missing:
        calibrate("--docs", str(tmp_path / "none.md"))
    assert missing.value.returncode == 2
    page = tmp_path / "statistics.md"
    page.write_text("# Statistics\n", encoding="utf-8")
    with pytest.raises(CommandError, match="no markers"):
        calibrate("--docs", str(page))
    assert page.read_text(encoding="utf-8") == "# Statistics\n"


def test_calibrate__no_runs__is_refused(outcome: dict[str, bool]) -> None:
    with pytest.raises(CommandError, match="--runs"):
        calibrate("--runs", "-1")
