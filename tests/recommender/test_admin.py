from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from recommender import tasks
from recommender.models import ChangeLog, EventWeight, Item, ModelVersion, Slate, Strategy, StrategyVersion
from recommender.services.serving import recommend
from recommender.services.training import train
from tests.recommender.conftest import NOW, later


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.mark.parametrize("model", [Item, EventWeight, Strategy, StrategyVersion, ModelVersion, Slate, ChangeLog])
def test_lists_and_rows__all_models__shown(boss: Client, trained_shop: None, model: type[Item]) -> None:
    recommend(user_id="u0", k=3, strategy="item-knn", context={}, at=NOW)
    name = model._meta.model_name
    row = model.objects.order_by("pk").first()
    assert row is not None
    assert str(row) in boss.get(reverse(f"admin:recommender_{name}_change", args=[row.pk])).content.decode()
    assert boss.get(reverse(f"admin:recommender_{name}_changelist"), {"q": "u0"}).status_code == 200


@pytest.mark.parametrize("model", ["strategyversion", "modelversion", "slate", "changelog"])
def test_facts__even_a_superuser__can_only_read(boss: Client, trained_shop: None, model: str) -> None:
    assert boss.get(reverse(f"admin:recommender_{model}_add")).status_code == 403
    row = StrategyVersion.objects.order_by("pk")[0].pk
    assert boss.post(reverse("admin:recommender_strategyversion_delete", args=[row])).status_code == 403


def test_strategy__add__only_by_a_service(boss: Client) -> None:
    assert boss.get(reverse("admin:recommender_strategy_add")).status_code == 403


def test_item__saved__stamped(boss: Client) -> None:
    values = {"item_id": "a", "title": "A", "tags": "[]", "attributes": "{}", "is_active": "on", "min_age": "0"}
    boss.post(reverse("admin:recommender_item_add"), values)
    item = Item.objects.get()
    assert item.created_at == item.updated_at
    boss.post(reverse("admin:recommender_item_change", args=[item.pk]), {**values, "title": "B"})
    changed = Item.objects.get()
    assert changed.title == "B"
    assert changed.updated_at > item.updated_at == changed.created_at


def _act(client: Client, model: str, action: str, *pks: int) -> str:
    values = {"action": action, "_selected_action": list(pks)}
    return client.post(reverse(f"admin:recommender_{model}_changelist"), values, follow=True).content.decode()


def test_train_action__two_strategies__two_tasks(boss: Client, shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tasks.train_strategy, "delay", asked.append)
    pks = Strategy.objects.filter(slug__in=["content", "item-knn"]).values_list("pk", flat=True)
    assert "2 trainings will start" in _act(boss, "strategy", "train_now", *pks)
    assert sorted(asked) == ["content", "item-knn"]


def test_roll_back_and_publish_actions__call_the_services(boss: Client, shop: None) -> None:
    strategy = Strategy.objects.get(slug="item-knn")
    first = train(slug="item-knn", at=NOW)
    assert "no earlier model" in _act(boss, "strategy", "go_back", strategy.pk)
    second = train(slug="item-knn", at=later(hours=1))
    _act(boss, "strategy", "go_back", strategy.pk)
    first.refresh_from_db()
    assert first.status == "published"
    _act(boss, "modelversion", "publish", second.pk)
    second.refresh_from_db()
    assert second.status == "published"
    assert "is Published" in _act(boss, "modelversion", "publish", second.pk)
    assert ChangeLog.objects.filter(actor__username="boss").count() == 2
