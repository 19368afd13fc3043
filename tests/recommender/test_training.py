from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pytest_django import Settings

from recommender import tasks
from recommender.algorithms.item_knn import ItemKNN
from recommender.choices import ModelStatus
from recommender.errors import CannotPublish, CannotTrain, NotEnoughData, TrainingInProgress, UnknownStrategy
from recommender.models import ChangeLog, Item, ModelVersion, Strategy
from recommender.services import training
from recommender.services.artefacts import delete_model, manifest_path, models_folder, read_model
from recommender.services.publishing import publish_model, reject_model, roll_back
from recommender.services.schedule import due_trainings
from recommender.services.strategies import StrategyDesign, create_strategy
from recommender.services.training import train
from recommender.services.training_data import fingerprint, load_data
from tests.recommender.conftest import DAY_US, NOW, NOW_US, later
from tests.recommender.fakes import FakeInteractions


def test_train__first_time__published_with_everything_known_about_it(shop: None) -> None:
    steps: list[str] = []
    model = train(slug="item-knn", at=NOW, seed=5, progress=steps.append)
    assert model.status == ModelStatus.PUBLISHED
    assert model.n_interactions == len(FakeInteractions.rows)
    assert (model.n_users, model.n_items) == (45, 26)
    assert model.until == NOW_US
    assert model.since is None
    assert model.seed == 5
    assert model.parameters["neighbours"] == 100
    assert model.published_at == model.trained_at == NOW
    assert len(model.fingerprint) == len(model.sha256) == 64
    assert model.metrics["judged"] == 45
    assert model.metrics["split"] == "temporal"
    assert 0 < model.metrics["ndcg"] <= 1
    assert steps[0] == "read events"
    assert steps[-1] == "publish"
    assert Strategy.objects.get(slug="item-knn").lease_until is None


def test_train__same_data_and_seed__same_file(shop: None) -> None:
    first, second = (train(slug="item-knn", at=later(hours=hours), seed=1) for hours in (0, 1))
    assert first.sha256 == second.sha256
    assert first.fingerprint == second.fingerprint


def test_train__file__is_read_without_pickle_and_mapped(shop: None) -> None:
    model = train(slug="item-knn", at=NOW)
    stored = read_model(path=model.path, sha256=model.sha256)
    assert stored.algorithm == "item-knn"
    assert stored.item_ids.size == 26
    assert isinstance(stored.arrays["neighbour_weight"].base, np.memmap)
    with np.load(models_folder() / model.path, allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["neighbour_weight"], stored.arrays["neighbour_weight"])
    manifest = json.loads(manifest_path(models_folder() / model.path).read_text())
    assert manifest["schema"] == 1
    assert manifest["about"]["strategy"] == "item-knn"
    delete_model(path=model.path)
    assert not list((models_folder() / "item-knn").iterdir())


def test_train__window__older_events_left_out(shop: None) -> None:
    create_strategy(slug="recent", name="Recent", design=StrategyDesign(algorithm="popularity", window_days=36), at=NOW)
    model = train(slug="recent", at=NOW)
    assert model.since == NOW_US - 36 * DAY_US
    kept = [row for row in FakeInteractions.rows if row[3] >= NOW_US - 36 * DAY_US]
    assert model.n_interactions == len(kept) < len(FakeInteractions.rows)


def test_train__any__stores_popularity_of_items(shop: None) -> None:
    train(slug="popularity", at=NOW)
    assert Item.objects.order_by("-popularity").values_list("item_id", flat=True)[0] == "all"
    assert Item.objects.get(item_id="new").popularity == 0


def test_train__no_events__failed_with_the_reason(shop: None) -> None:
    FakeInteractions.rows = []
    with pytest.raises(CannotTrain, match="agreed to personalization"):
        train(slug="item-knn", at=NOW)
    model = ModelVersion.objects.get()
    assert model.status == ModelStatus.FAILED
    assert "import events and consents" in model.message
    assert model.sha256 == ""
    assert Strategy.objects.get(slug="item-knn").lease_until is None


def test_train__nothing_to_learn__popularity_is_not_published_either(shop: None) -> None:
    FakeInteractions.rows = []
    with pytest.raises(NotEnoughData):
        train(slug="popularity", at=NOW)
    assert not ModelVersion.objects.filter(status=ModelStatus.PUBLISHED).exists()


def test_train__algorithm_raises_anything__failed_not_lost(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ItemKNN, "fit", broken)
    with pytest.raises(CannotTrain):
        train(slug="item-knn", at=NOW)
    assert ModelVersion.objects.get().message == "ZeroDivisionError"


def test_train__few_events__published_unjudged_with_a_note(shop: None) -> None:
    FakeInteractions.rows = [row for row in FakeInteractions.rows if row[0] == "u0"]
    model = train(slug="item-knn", at=NOW)
    assert model.status == ModelStatus.PUBLISHED
    assert model.metrics["judged"] == 0
    log = ChangeLog.objects.get(object_type="model", transition="publish")
    assert "too few people" in log.message


def test_train__many_people__judged_on_a_sample(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MAX_JUDGED", 10)
    assert train(slug="item-knn", at=NOW).metrics["judged"] == 10


def test_train__unknown_strategy__raises(db: None) -> None:
    with pytest.raises(UnknownStrategy):
        train(slug="nonsense", at=NOW)


def test_train__lease_held__refused_until_it_ends(shop: None) -> None:
    Strategy.objects.filter(slug="item-knn").update(lease_token="other", lease_until=later(minutes=5))
    with pytest.raises(TrainingInProgress):
        train(slug="item-knn", at=NOW)
    assert not ModelVersion.objects.exists()
    assert train(slug="item-knn", at=later(minutes=5)).status == ModelStatus.PUBLISHED


def test_train__earlier_process_died__its_row_is_failed(shop: None) -> None:
    strategy = Strategy.objects.get(slug="item-knn")
    assert strategy.current_version is not None
    dead = ModelVersion.objects.create(
        strategy=strategy, strategy_version=strategy.current_version, until=0, started_at=NOW - timedelta(days=1)
    )
    train(slug="item-knn", at=NOW)
    dead.refresh_from_db()
    assert dead.status == ModelStatus.FAILED


def _claim(model: ModelVersion, **metrics: float) -> None:
    ModelVersion.objects.filter(pk=model.pk).update(metrics={**model.metrics, **metrics})


@pytest.mark.parametrize(
    ("metrics", "words"), [({"ndcg": 5.0}, "worse than the current model"), ({"coverage": 9.0}, "covers")]
)
def test_train__worse_than_the_current_model__not_published(shop: None, metrics: dict[str, float], words: str) -> None:
    first = train(slug="item-knn", at=NOW)
    _claim(first, **metrics)
    second = train(slug="item-knn", at=later(days=1))
    first.refresh_from_db()
    assert second.status == ModelStatus.REJECTED
    assert words in second.message
    assert first.status == ModelStatus.PUBLISHED


def test_train__below_popularity__says_so(shop: None) -> None:
    train(slug="content", at=NOW)
    message = ChangeLog.objects.get(object_type="model", transition="publish").message
    assert message.startswith(("NDCG", "below popularity"))


def test_publish__rejected_model__a_person_may(shop: None) -> None:
    first, second = (train(slug="item-knn", at=later(hours=hours)) for hours in (0, 1))
    published = publish_model(model_id=first.pk, at=later(days=1), message="better after all")
    second.refresh_from_db()
    assert published.status == ModelStatus.PUBLISHED
    assert (second.status, second.retired_at) == (ModelStatus.RETIRED, later(days=1))
    assert ChangeLog.objects.filter(object_id=str(first.pk), message="better after all").exists()


def test_publish__the_published_one__refused_and_nothing_changes(shop: None) -> None:
    model = train(slug="item-knn", at=NOW)
    with pytest.raises(CannotPublish):
        publish_model(model_id=model.pk, at=later(days=1))
    model.refresh_from_db()
    assert model.status == ModelStatus.PUBLISHED


def test_publish__unknown_model__refused(db: None) -> None:
    with pytest.raises(CannotPublish, match="no model 7"):
        publish_model(model_id=7, at=NOW)


def test_roll_back__two_models__the_earlier_serves_and_again_back(shop: None) -> None:
    first, second = (train(slug="item-knn", at=later(hours=hours)) for hours in (0, 1))
    assert roll_back(slug="item-knn", at=later(hours=2)).pk == first.pk
    assert roll_back(slug="item-knn", at=later(hours=3)).pk == second.pk


def test_roll_back__one_model__refused(shop: None) -> None:
    train(slug="item-knn", at=NOW)
    with pytest.raises(CannotPublish, match="no earlier model"):
        roll_back(slug="item-knn", at=NOW)


def test_reject__published_model__stays(shop: None) -> None:
    model = train(slug="item-knn", at=NOW)
    reject_model(model_id=model.pk, at=NOW, message="too late")
    model.refresh_from_db()
    assert model.status == ModelStatus.PUBLISHED


def test_due__trained_less_than_its_interval_ago__not_due(shop: None) -> None:
    def due_strategies(*, at: datetime) -> list[str]:
        return [training.slug for training in due_trainings(at=at)]

    assert due_strategies(at=NOW) == ["popularity", "trending", "item-knn", "user-knn", "content"]
    train(slug="item-knn", at=NOW)
    Strategy.objects.filter(slug="content").update(is_active=False)
    assert due_strategies(at=later(hours=23)) == ["popularity", "trending", "user-knn"]
    assert "item-knn" in due_strategies(at=later(hours=24))
    ModelVersion.objects.update(status=ModelStatus.FAILED, sha256="", path="")
    assert "item-knn" not in due_strategies(at=later(minutes=59))
    assert "item-knn" in due_strategies(at=later(hours=1))


def test_load_dataset__other_event_types_and_weights__left_out(shop: None) -> None:
    FakeInteractions.rows.append(("u0", "g0-0", "Page Viewed", NOW_US - 1))
    dataset = load_data(since=None, until=NOW_US).dataset
    assert dataset.n_interactions == len(FakeInteractions.rows) - 1
    assert set(np.unique(dataset.weights)) == {1.0, 3.0, 5.0}
    assert "category=shelf 0" in dataset.tokens[dataset.item_ids.tolist().index("g0-0")]
    assert fingerprint(dataset) == fingerprint(load_data(since=None, until=NOW_US).dataset)
    assert fingerprint(dataset) != fingerprint(load_data(since=None, until=NOW_US - 35 * DAY_US).dataset)


def test_tasks__due__enqueues_each_by_slug(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(tasks.train_strategy, "delay", lambda *args: asked.append(args))
    assert tasks.train_due_strategies() == 5
    assert asked == [("popularity", 1), ("trending", 1), ("item-knn", 1), ("user-knn", 1), ("content", 1)]


def test_tasks__train__one_service_call_and_failures_recorded(shop: None) -> None:
    assert tasks.train_strategy("popularity") == "published"
    assert tasks.train_strategy("nonsense") == "failed"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: manifest_path(path).unlink(),
        lambda path: manifest_path(path).write_text("{}"),
        lambda path: manifest_path(path).write_text("not json"),
        lambda path: manifest_path(path).write_text("[]"),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
    ],
)
def test_read_model__missing_or_damaged__one_named_error(shop: None, damage: Any) -> None:
    from recommender.errors import UnreadableModel

    model = train(slug="item-knn", at=NOW)
    damage(models_folder() / model.path)
    with pytest.raises(UnreadableModel, match="item-knn/"):
        read_model(path=model.path, sha256=model.sha256)


@pytest.mark.parametrize("kind", ["compressed", "objects"])
def test_read_model__compressed_or_with_objects__refused(shop: None, kind: str) -> None:
    import hashlib

    from recommender.errors import UnreadableModel

    folder = models_folder()
    folder.mkdir(exist_ok=True)
    file = folder / "evil.npz"
    if kind == "compressed":
        np.savez_compressed(file, item_ids=np.array(["a"]))
    else:
        np.savez(file, item_ids=np.array([{}], dtype=object))
    manifest_path(file).write_text(json.dumps({"schema": 1, "algorithm": "x"}))
    with pytest.raises(UnreadableModel, match=r"is compressed|holds Python objects"):
        read_model(path="evil.npz", sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def test_write_model__disk_fails__nothing_half_written(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("numpy.savez", fail)
    with pytest.raises(CannotTrain, match="disk full"):
        train(slug="item-knn", at=NOW)
    assert not list((models_folder() / "item-knn").iterdir())


def _embed(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), 1.0] for text in texts])


def _embed_badly(texts: list[str]) -> np.ndarray:
    return np.full((len(texts), 2), np.nan)


def test_load_data__prices_and_a_plug_in_for_texts__bins_and_vectors(shop: None, settings: Settings) -> None:
    settings.RECOMMENDER_TEXT_VECTORS = f"{__name__}._embed"
    dataset = load_data(since=None, until=NOW_US).dataset
    names = dataset.item_ids.tolist()
    cheap, dear = (set(dataset.tokens[names.index(name)]) for name in ("g0-0", "g0-7"))
    assert any(token.startswith("price EUR~") for token in cheap)
    assert not {token for token in cheap & dear if token.startswith("price")}
    assert dataset.vectors is not None
    assert dataset.vectors[names.index("new")].tolist() == [5.0, 1.0]
    settings.RECOMMENDER_TEXT_VECTORS = f"{__name__}._embed_badly"
    with pytest.raises(ValueError, match="_embed_badly: 26 rows of finite numbers expected"):
        load_data(since=None, until=NOW_US)
