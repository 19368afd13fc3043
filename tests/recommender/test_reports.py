"""The registry's pages: evaluation report, data of a training, alarms."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse

from recommender.models import ModelVersion, Strategy
from recommender.ports import ExposedArm
from recommender.selectors import model_alarms
from recommender.services import snapshots
from recommender.services.artefacts import models_folder
from recommender.services.plots import plots_of
from recommender.services.serving import recommend
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import StrategyDesign, revise_strategy
from recommender.services.training import train
from recommender.services.training_data import load_data
from tests.recommender.conftest import DAY_US, NOW, NOW_US, later
from tests.recommender.fakes import FakeInteractions
from tests.recommender.test_views import _client


@pytest.fixture
def reader(db: None) -> Client:
    return _client("view_strategy")


def _model(slug: str = "item-knn") -> ModelVersion:
    return ModelVersion.objects.get(strategy__slug=slug, status="published")


def _page(client: Client, model: ModelVersion) -> str:
    return client.get(reverse("recommender:model-detail", args=[model.strategy.slug, model.pk])).content.decode()


def test_model_page__judged__figures_groups_and_drawings(reader: Client, trained_shop: None) -> None:
    model = _model()
    page = _page(reader, model)
    for words in ("NDCG@10", "Hit rate@10", "Variety", "Miscalibration", "shelf 0", "Popularity lift", "<polyline"):
        assert words in page
    plots = plots_of(model=model)
    assert plots is not None
    assert [row.label for row in plots.whiskers] == ["this model", "popularity", "1–5 events"]
    assert plots.whiskers[0].mean == pytest.approx(model.metrics["ndcg"])
    assert all(110 <= row.x_lower <= row.x <= row.x_upper <= 350 for row in plots.whiskers)
    assert sum(row.exposure for row in plots.bars) == pytest.approx(1.0)
    assert plots.gain.mean == pytest.approx(model.metrics["ndcg"] - model.metrics["popularity_ndcg"])
    assert {row.parity for row in plots.bars} != {None}


def test_model_page__nobody_to_judge__says_so(reader: Client, shop: None) -> None:
    FakeInteractions.rows = FakeInteractions.rows[:3]
    page = _page(reader, train(slug="popularity", at=NOW))
    assert "Not judged" in page
    assert "too few people" in page


def test_model_page__of_another_strategy__not_found(reader: Client, trained_shop: None) -> None:
    address = reverse("recommender:model-detail", args=["popularity", _model().pk])
    assert reader.get(address).status_code == 404


def _arm(name: str, users: list[str], first_at: int) -> ExposedArm:
    return ExposedArm(
        experiment="spring",
        arm=name,
        is_control=name == "control",
        user_id=np.array(sorted(users)),
        first_at=np.full(len(users), first_at, dtype=np.int64),
    )


def test_train__running_experiment__shares_of_its_arms_are_logged(reader: Client, shop: None) -> None:
    since = NOW_US - 37 * DAY_US  # four of each person's seven events come afterwards
    FakeInteractions.arms = [_arm("control", ["u0", "nobody"], since), _arm("treatment", ["u1", "u2"], since)]
    model = train(slug="item-knn", at=NOW)
    assert model.arms["treated_left_out"] is False
    control, treatment = model.arms["arms"]
    assert (control["people"], control["interactions"], control["left_out"]) == (1, 4, 0)
    assert (treatment["people"], treatment["interactions"], treatment["left_out"]) == (2, 8, 0)
    assert treatment["share"] == pytest.approx(8 / model.n_interactions)
    assert "spring · treatment" in _page(reader, model)


def test_train__without_treated_people__their_later_events_are_left_out(reader: Client, shop: None) -> None:
    since = NOW_US - 37 * DAY_US
    FakeInteractions.arms = [_arm("control", ["u0"], since), _arm("treatment", ["u1", "u2"], since)]
    everything = load_data(since=None, until=NOW_US).dataset.n_interactions
    revise_strategy(slug="item-knn", design=StrategyDesign(algorithm="item-knn", leave_out_treated=True), at=NOW)
    model = train(slug="item-knn", at=NOW)
    assert model.n_interactions == everything - 8
    control, treatment = model.arms["arms"]
    assert (control["interactions"], treatment["interactions"], treatment["left_out"]) == (4, 0, 8)
    page = _page(reader, model)
    assert "left out after they met a running treatment" in page
    assert "8 left out" in page


def _break(model: ModelVersion) -> bytes:
    file = models_folder() / model.path
    content = file.read_bytes()
    file.write_bytes(b"damaged")
    forget_snapshots()
    recommend(user_id="u0", k=3, strategy=model.strategy.slug, context={}, at=NOW, budget_ms=9_000)
    return content


def test_alarm__file_damaged__on_pages_and_health_until_it_can_be_read(
    reader: Client, trained_shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model()
    content = _break(model)
    assert [(alarm.slug, alarm.model_id) for alarm in model_alarms()] == [("item-knn", model.pk)]
    assert "cannot be read since" in reader.get(reverse("recommender:strategy-list")).content.decode()
    assert "cannot be read" in reader.get(reverse("recommender:strategy-detail", args=["item-knn"])).content.decode()
    assert "cannot be read since" in _page(reader, model)
    health = Client().get("/healthz").json()
    assert health["unreadable_models"] == ["item-knn"]
    assert health["status"] == "degraded"
    (models_folder() / model.path).write_bytes(content)
    monkeypatch.setattr(snapshots, "RETRY_BROKEN", 0.0)
    assert recommend(user_id="u0", k=3, strategy="item-knn", context={}, at=NOW, budget_ms=9_000).fallback == ""
    assert model_alarms() == []


def test_alarm__new_model_published__ends(trained_shop: None) -> None:
    _break(_model())
    train(slug="item-knn", at=later(days=1))
    assert model_alarms() == []
    assert Strategy.objects.filter(models__unreadable_since__isnull=False).exists()  # the old one is still on record


def test_alarm__database_down__served_all_the_same(trained_shop: None, caplog: pytest.LogCaptureFixture) -> None:
    class Down:
        def filter(self, **_: object) -> Down:
            raise DatabaseError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelVersion, "objects", Down())
        snapshots.raise_alarm(1)
        snapshots.end_alarm(1)
    assert "is not stored" in caplog.text
    assert "is not taken back" in caplog.text
