from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from recommender import tasks
from recommender.models import ModelVersion, Slate
from recommender.services.serving import recommend
from recommender.services.training import train
from tests.recommender.conftest import NOW, later

READ = ("view_strategy",)
TRAIN = (*READ, "train_strategy")


def _client(*codenames: str) -> Client:
    user = User.objects.create_user("ana")
    wanted = Permission.objects.filter(content_type__app_label="recommender", codename__in=codenames)
    user.user_permissions.set(wanted)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def reader(db: None) -> Client:
    return _client(*READ)


@pytest.fixture
def trainer(db: None) -> Client:
    return _client(*TRAIN)


PAGES = [
    ("strategy-list", []),
    ("strategy-detail", ["item-knn"]),
    ("strategy-train", ["item-knn"]),
    ("strategy-roll-back", ["item-knn"]),
    ("model-publish", ["item-knn", 1]),
    ("user-detail", ["u0"]),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "args"), PAGES)
def test_pages__not_signed_in__to_sign_in(name: str, args: list[object]) -> None:
    address = reverse(f"recommender:{name}", args=args)
    answer = Client().get(address)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "args"), PAGES)
def test_pages__no_permission__forbidden(name: str, args: list[object]) -> None:
    assert _client().get(reverse(f"recommender:{name}", args=args)).status_code == 403


@pytest.mark.parametrize("name", ["strategy-train", "strategy-roll-back", "model-publish"])
def test_changes__reader__forbidden(reader: Client, shop: None, name: str) -> None:
    args = ["item-knn", 1] if name == "model-publish" else ["item-knn"]
    assert reader.post(reverse(f"recommender:{name}", args=args)).status_code == 403


def test_list__trained_and_untrained__both_shown(
    reader: Client, shop: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    train(slug="item-knn", at=NOW)
    with django_assert_max_num_queries(12):
        text = reader.get(reverse("recommender:strategy-list")).content.decode()
    assert "Others also chose" in text
    assert "Published" in text
    assert "None yet: fallbacks serve" in text
    assert "Product Viewed" in text


def test_list__no_strategy__empty_state(reader: Client) -> None:
    assert "No strategies yet" in reader.get(reverse("recommender:strategy-list")).content.decode()


def test_list__person_asked_for__to_their_page(reader: Client, shop: None) -> None:
    answer = reader.get(reverse("recommender:strategy-list"), {"user_id": "a b", "strategy": "item-knn"})
    assert answer.status_code == 302
    assert answer["Location"] == "/recommender/people/a%20b/?strategy=item-knn"


def test_list__no_person_named__error_shown(reader: Client, shop: None) -> None:
    answer = reader.get(reverse("recommender:strategy-list"), {"strategy": "item-knn"})
    assert "This field is required" in answer.content.decode()


def test_detail__reader__models_but_no_buttons(reader: Client, trained_shop: None) -> None:
    text = reader.get(reverse("recommender:strategy-detail", args=["item-knn"])).content.decode()
    assert "Published" in text
    assert "Train now" not in text
    assert "are left out" in text


def test_detail__untrained__empty_state(reader: Client, shop: None) -> None:
    text = reader.get(reverse("recommender:strategy-detail", args=["item-knn"])).content.decode()
    assert "Not trained yet" in text


@pytest.mark.parametrize("name", ["strategy-detail", "strategy-roll-back"])
def test_pages__unknown_strategy__not_found(trainer: Client, name: str) -> None:
    assert trainer.get(reverse(f"recommender:{name}", args=["gone"])).status_code == 404


def test_train__trainer__enqueued_after_the_commit(
    trainer: Client,
    shop: None,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: pytest.FixtureRequest,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tasks.train_strategy, "delay", asked.append)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]  # pytest-django types it as a fixture
        answer = trainer.post(reverse("recommender:strategy-train", args=["item-knn"]), follow=True)
    assert asked == ["item-knn"]
    assert "will start in a moment" in answer.content.decode()
    assert trainer.get(reverse("recommender:strategy-train", args=["item-knn"])).status_code == 405


def test_publish__confirmed__older_model_serves(trainer: Client, shop: None) -> None:
    first, _second = (train(slug="item-knn", at=later(hours=hours)) for hours in (0, 1))
    address = reverse("recommender:model-publish", args=["item-knn", first.pk])
    assert "Publish this model?" in trainer.get(address).content.decode()
    assert "serves from now on" in trainer.post(address, follow=True).content.decode()
    first.refresh_from_db()
    assert first.status == "published"


def test_publish__failed_model__refused_in_words(trainer: Client, shop: None) -> None:
    model = train(slug="item-knn", at=NOW)
    ModelVersion.objects.filter(pk=model.pk).update(status="failed")
    address = reverse("recommender:model-publish", args=["item-knn", model.pk])
    assert "is Failed" in trainer.post(address, follow=True).content.decode()


def test_publish__model_of_another_strategy__not_found(trainer: Client, shop: None) -> None:
    model = train(slug="popularity", at=NOW)
    address = reverse("recommender:model-publish", args=["item-knn", model.pk])
    assert trainer.post(address).status_code == 404


def test_roll_back__confirmed__earlier_model_serves(trainer: Client, shop: None) -> None:
    address = reverse("recommender:strategy-roll-back", args=["item-knn"])
    first = train(slug="item-knn", at=NOW)
    assert "no earlier model" in trainer.post(address, follow=True).content.decode()
    train(slug="item-knn", at=later(hours=1))
    assert "Roll back?" in trainer.get(address).content.decode()
    assert "serves again" in trainer.post(address, follow=True).content.decode()
    first.refresh_from_db()
    assert first.status == "published"


def test_user__known_person__history_slate_reasons_and_past_slates(reader: Client, trained_shop: None) -> None:
    recommend(user_id="u0", k=3, strategy="user-knn", context={}, at=NOW)
    text = reader.get(reverse("recommender:user-detail", args=["u0"]), {"strategy": "item-knn"}).content.decode()
    assert "Because you looked at Thing" in text
    assert "Order Completed: For all" in text
    assert "People like you" in text
    assert Slate.objects.count() == 1


def test_user__stranger__fallback_in_words(reader: Client, trained_shop: None) -> None:
    text = reader.get(reverse("recommender:user-detail", args=["stranger"])).content.decode()
    assert "Nothing is known about this person yet" in text
    assert "No slate yet" in text


def test_user__empty_catalogue__says_nothing_to_show(reader: Client) -> None:
    from recommender.services.strategies import ensure_default_strategies

    ensure_default_strategies(at=NOW)
    text = reader.get(reverse("recommender:user-detail", args=["u0"])).content.decode()
    assert "Nothing to show" in text


@pytest.mark.parametrize("strategy", ["gone", ""])
def test_user__unknown_strategy_or_none_at_all__not_found(reader: Client, strategy: str) -> None:
    answer = reader.get(reverse("recommender:user-detail", args=["u0"]), {"strategy": strategy})
    assert answer.status_code == 404
