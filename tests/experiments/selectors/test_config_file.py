from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import DatabaseError

from experiments.selectors import clear_config_cache, config_file, get_config, list_configs, list_holdouts
from experiments.selectors import config as module
from tests.factories.experiments import make_experiment

pytestmark = pytest.mark.django_db
RULE = {
    "any": [{"attribute": "country", "op": "in", "value": ["DE", "AT"]}, {"attribute": "age", "op": "gt", "value": 3}]
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module._cache, "file", tmp_path / "experiments.json")
    return tmp_path / "experiments.json"


def down() -> tuple[int, ...]:
    raise DatabaseError("gone")


def test_start__database_down__everything_comes_from_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_experiment(status="running", key="live", targeting=RULE)
    make_experiment(status="decided", key="shipped")
    make_experiment(status="draft", key="draft")
    known, holdouts = list_configs(), list_holdouts()
    clear_config_cache()
    monkeypatch.setattr(module, "_version", down)

    assert list_configs() == known
    assert list_configs() is not known
    assert list_holdouts() == holdouts
    assert get_config(experiment_key="draft") is None
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "{}", '{"shape": "another version", "kept": {}}'])
def test_start__no_usable_file__the_database_is_missed(
    file: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    file.write_text(content)
    monkeypatch.setattr(module, "_version", down)
    with pytest.raises(DatabaseError):
        list_configs()


def test_save__disk_full__costs_nothing_but_the_file(tmp_path: Path) -> None:
    config_file.save(
        tmp_path / "missing" / "file",
        module.HoldoutConfig("", "user", 1, 0.1, "s", 1, datetime(2026, 11, 24, tzinfo=UTC), None),
    )
    assert not (tmp_path / "missing").exists()
