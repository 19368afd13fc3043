"""The plug-in of the guide, taken from the guide, outside the repository."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pytest_django import Settings

from recommender import registry
from recommender.services.serving import recommend
from recommender.services.strategies import StrategyDesign, create_strategy
from recommender.services.training import train
from tests.recommender.conftest import NOW

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "recommender.md"


def test_guide__its_plug_in__is_short_found_trained_and_served(
    shop: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    assert len(code.splitlines()) <= 40
    (tmp_path / "mymodule.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.RECOMMENDER_ALGORITHMS = ["mymodule.Newest"]
    registry.algorithms.cache_clear()
    try:
        create_strategy(slug="newest", name="Newest", design=StrategyDesign(algorithm="newest"), at=NOW)
        train(slug="newest", at=NOW)
        answer = recommend(user_id="", k=1, strategy="newest", context={}, at=NOW)
        assert answer.fallback == ""
        assert answer.items[0].item_id == "all"
    finally:
        registry.algorithms.cache_clear()
        sys.modules.pop("mymodule", None)
