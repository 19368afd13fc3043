from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from recommender.models import ChangeLog, EventWeight, Item, Strategy, StrategyVersion
from recommender.services.changelog import record_change
from tests.recommender.conftest import NOW


def _refused(words: str, sql: str, *values: int) -> None:
    with pytest.raises(IntegrityError, match=words), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_change_log__update_or_delete__refused_by_the_database(shop: None) -> None:
    row = ChangeLog.objects.order_by("pk")[0].pk
    _refused("append-only", "UPDATE recommender_changelog SET message = 'x' WHERE id = %s", row)
    _refused("append-only", "DELETE FROM recommender_changelog WHERE id = %s", row)


def test_change_log__actor_deleted__row_stays_without_a_name(db: None) -> None:
    ana = User.objects.create_user("ana")
    record_change(object_type="strategy", object_id="x", transition="create", actor=ana, at=NOW)
    ana.delete()
    assert ChangeLog.objects.get().actor is None


def test_strategy_version__update__refused_by_the_database(shop: None) -> None:
    row = StrategyVersion.objects.order_by("pk")[0].pk
    _refused("never changes", "UPDATE recommender_strategyversion SET algorithm = 'x' WHERE id = %s", row)


def test_strategy__deleted__with_versions(shop: None) -> None:
    Strategy.objects.get(slug="content").delete()
    assert not StrategyVersion.objects.filter(algorithm="content").exists()


def test_constraints__negative_weight_and_price__refused(db: None) -> None:
    for row in (
        EventWeight(event_type="x", weight=-1),
        Item(item_id="a", title="A", price=-1, created_at=NOW, updated_at=NOW),
        Item(item_id="", title="A", created_at=NOW, updated_at=NOW),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save()


@pytest.mark.django_db(transaction=True)
def test_guards__migrated_back_and_forth__are_gone_and_there_again() -> None:
    def migrate(target: str) -> None:
        MigrationExecutor(connection).migrate([("recommender", target)])

    migrate("0001_initial")
    record_change(object_type="strategy", object_id="x", transition="create", actor=None, at=NOW)
    ChangeLog.objects.update(message="free")
    ChangeLog.objects.all().delete()
    migrate("0004_hold_until")
    record_change(object_type="strategy", object_id="x", transition="create", actor=None, at=NOW)
    row = ChangeLog.objects.get().pk
    _refused("append-only", "UPDATE recommender_changelog SET message = 'x' WHERE id = %s", row)
