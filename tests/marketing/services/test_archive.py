"""The archive: events leave the database and nothing that was counted changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from experiments.facts.expressions import PlannedMetric
from experiments.models import Experiment, Snapshot
from experiments.ports import MICRO, MetricDefinition, Part, PropertyFilter
from experiments.services.exposure import ExposureRow, microseconds, record_many
from experiments.services.lifecycle import stop
from experiments.services.refresh import refresh_experiment
from experiments.services.replay import replay_snapshot
from experiments.services.totals import UnitTotals, load_totals
from marketing.choices import MergeReason
from marketing.errors import CannotArchive
from marketing.facts import EventFacts
from marketing.models import Activity, ArchivedActivity, ArchivedMessage, ArchivedPart, Event, Profile
from marketing.selectors.archive import archive_folder
from marketing.services import archive
from marketing.services.archive import archive_events, restore_events
from marketing.services.identity import merge, undo_merge
from marketing.services.privacy import erase_profile, export_profile
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AT = STARTED + 200 * DAY
ORDERS = ("Order Completed", "Order Refunded")
DEFINITIONS = (
    MetricDefinition(
        ORDERS, "sum", window_hours=168, lookback_days=14, scale=MICRO, denominator=Part(("Order Completed",), "count")
    ),
    MetricDefinition(("Product Viewed",), "distinct", window_hours=168, value_property="product_id"),
    MetricDefinition(("Order Completed",), "first", window_hours=168, scale=MICRO),
    MetricDefinition(("Order Completed",), "exists", window_hours=168, after=("Product Viewed",)),
    MetricDefinition(("Order Completed",), "sum", window_hours=168, scale=MICRO, quantile=0.5, per_event=True),
    MetricDefinition(("Product Viewed",), "count", window_hours=168, filters=(PropertyFilter("depth", "2", "gte"),)),
)
METRICS = [PlannedMetric(index, f"m{index}", definition) for index, definition in enumerate(DEFINITIONS)]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Any, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def shop() -> tuple[Experiment, list[Profile]]:
    """A stopped experiment of last season, with events around its exposures and some of yesterday."""
    experiment = make_experiment(status="running")
    people = [make_profile(user_id=f"a{number}") for number in range(12)]
    for number, profile in enumerate(people):
        row = ExposureRow(
            experiment.key, "profile", str(profile.pk), ("control", "treatment")[number % 2], 1, microseconds(STARTED)
        )
        assert not record_many(rows=[row]).rejected
    messages = []
    for number in range(12):
        user = f"a{number}"
        messages += [
            track("Product Viewed", user=user, at=STARTED - 3 * DAY, product_id="x", depth=1),
            track("Product Viewed", user=user, at=STARTED + number * HOUR, product_id=f"x{number % 3}", depth=3),
            track("Product Viewed", user=user, at=STARTED + number * HOUR, product_id="y", depth=1.5),
            track("Order Completed", user=user, at=STARTED + 2 * DAY, revenue=10.0 + number, order_id=f"o{number}"),
            track("Order Completed", user=user, at=AT - DAY, revenue=99.0),
        ]
    messages.append(track("Order Refunded", user="a3", at=STARTED + 5 * DAY, revenue=4.0, order_id="o3"))
    send(*messages, at=AT)
    stop(experiment_key=experiment.key, at=STARTED + 14 * DAY)
    refresh_experiment(experiment_id=experiment.pk, at=STARTED + 30 * DAY)
    Experiment.objects.filter(pk=experiment.pk).update(status="decided")
    return experiment, people


def totals(experiment: Experiment) -> UnitTotals:
    return load_totals(
        facts=EventFacts(),
        experiment=experiment,
        metrics=METRICS,
        arms=["control", "treatment"],
        phases=[1],
        until=microseconds(STARTED + 30 * DAY),
    )


def rows_of(model: Any, *columns: str) -> Sequence[Any]:
    return list(model.objects.order_by(*columns).values_list(*columns))


def test_archive__old_days__leave_and_every_result_stays(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, _people = shop
    snapshot = Snapshot.objects.get(experiment=experiment, is_current=True)
    before, stored = totals(experiment), Event.objects.count()
    result = archive_events(at=AT, keep_days=90)
    assert result.events_n == stored - 12
    assert Event.objects.count() == 12
    assert result.parts_n == ArchivedPart.objects.count() == len(list(archive_folder().glob("*/*.parquet")))
    assert totals(experiment).fingerprint == before.fingerprint
    assert replay_snapshot(snapshot_id=snapshot.pk).is_equal
    assert archive_events(at=AT, keep_days=90).events_n == 0


def test_archive__message_sent_again__is_a_duplicate_still(shop: tuple[Experiment, list[Profile]]) -> None:
    message = track("Order Completed", user="a1", at=STARTED, message_id="once", revenue=1.0)
    assert send(message, at=AT).accepted == 1
    archive_events(at=AT, keep_days=90)
    again = send(message, track("Order Completed", user="a1", at=STARTED, message_id="new", revenue=1.0), at=AT)
    assert (again.accepted, again.duplicates) == (1, 1)
    # What came late for an archived day goes into a second file of that day.
    archive_events(at=AT, keep_days=90)
    assert ArchivedPart.objects.filter(day=STARTED.date()).count() == 2


def test_restore__archived_days__are_as_they_were(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, _people = shop
    columns = ("id", "source", "message_id", "identity", "profile", "type", "at", "value", "order_id", "props")
    events, before = rows_of(Event, *columns), totals(experiment)
    archive_events(at=AT, keep_days=90)
    assert restore_events(first=date(2000, 1, 1), last=AT.date()) == len(events) - 12
    assert rows_of(Event, *columns) == events
    assert totals(experiment).fingerprint == before.fingerprint
    for model in (ArchivedPart, ArchivedMessage, ArchivedActivity):
        assert not model._default_manager.exists()


def test_archive__people_joined_and_parted_afterwards__are_counted_whole(
    shop: tuple[Experiment, list[Profile]], django_capture_on_commit_callbacks: Any
) -> None:
    experiment, people = shop
    one, other = people[0], people[2]
    activity = ("profile", "type", "n", "first_at", "last_at", "total")
    counted = rows_of(Activity, *activity)
    archive_events(at=AT, keep_days=90)
    row = merge(winner_id=one.pk, loser_id=other.pk, reason=MergeReason.MANUAL, at=AT)
    joined = totals(experiment)
    assert joined.units_n == 11
    undo_merge(merge_id=row.pk, at=AT)
    assert rows_of(Activity, *activity) == counted
    merge(winner_id=one.pk, loser_id=other.pk, reason=MergeReason.MANUAL, at=AT)
    restore_events(first=date(2000, 1, 1), last=AT.date())
    assert totals(experiment).fingerprint == joined.fingerprint
    assert not Event.objects.filter(profile=other).exists()


def test_erase__archived_events__leave_the_files(
    shop: tuple[Experiment, list[Profile]], django_capture_on_commit_callbacks: Any
) -> None:
    _experiment, people = shop
    archive_events(at=AT, keep_days=90)
    exported = export_profile(profile_id=people[3].pk)["archivedevent"]
    assert {row["type__name"] for row in exported} == {"Product Viewed", "Order Completed", "Order Refunded"}
    identity = people[3].identities.get().pk
    messages = ArchivedMessage.objects.count()
    with django_capture_on_commit_callbacks(execute=True):
        deleted = erase_profile(profile_id=people[3].pk, at=AT)
    assert deleted["archivedevent"] == len(exported) == 5
    assert ArchivedMessage.objects.count() == messages  # the ledger names nobody, and stays
    for part in ArchivedPart.objects.all():
        assert identity not in archive._read(part).column("identity_id").to_pylist()
    assert len(list(archive_folder().glob("*/*.parquet"))) == ArchivedPart.objects.count()


@pytest.mark.parametrize("moment", ["writing", "naming", "deleting"])
def test_archive__killed__loses_and_doubles_nothing(
    shop: tuple[Experiment, list[Profile]], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, _people = shop
    before, stored = totals(experiment), Event.objects.count()

    class Killed(BaseException):
        """As `kill -9`: nothing after it runs."""

    def kill(*_: object, **__: object) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "writing":
            patch.setattr(archive, "_take_out", kill)
            patch.setattr("pathlib.Path.unlink", kill)
        elif moment == "naming":
            patch.setattr(ArchivedPart.objects, "create", kill)
        else:
            patch.setattr(archive, "is_postgres", kill)
        with pytest.raises(Killed):
            archive_events(at=AT, keep_days=90)
    assert Event.objects.count() == stored
    assert not ArchivedPart.objects.exists()
    assert archive_events(at=AT, keep_days=90).events_n == stored - 12
    assert totals(experiment).fingerprint == before.fingerprint
    assert len(list(archive_folder().glob("*/*.parquet"))) == ArchivedPart.objects.count()


def test_archive__person_erased_meanwhile__leaves_that_day_for_the_next_time(
    shop: tuple[Experiment, list[Profile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out = archive._take_out

    def late(*arguments: Any) -> None:
        Event.objects.filter(pk=arguments[3][0][0]).delete()
        take_out(*arguments)

    monkeypatch.setattr(archive, "_take_out", late)
    with pytest.raises(CannotArchive, match=r"1 events of .* were erased meanwhile"):
        archive_events(at=AT, keep_days=90)
    assert not ArchivedPart.objects.exists()


def test_archive__open_experiment__keeps_what_it_may_need(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, _people = shop
    Experiment.objects.filter(pk=experiment.pk).update(status="stopped")
    result = archive_events(at=AT, keep_days=1)
    assert result.before == (STARTED - 14 * DAY).date()
    assert result.events_n == 0


def test_archive__segments__keep_what_they_look_at(shop: tuple[Experiment, list[Profile]]) -> None:
    rule = {"event": "Order Completed", "op": "gte", "n": 1, "days": 150}
    make_segment(rule)
    assert archive_events(at=AT, keep_days=1).before == (AT - 150 * DAY).date()


def test_archive__segment_over_all_time_with_conditions__is_named() -> None:
    where = [{"property": "order_id", "op": "eq", "value": "x"}]
    make_segment({"event": "Order Completed", "op": "gte", "n": 1, "where": where}, slug="forever")
    with pytest.raises(CommandError, match="segment forever counts events with conditions over all time"):
        call_command("archive_events")


def test_archive__no_events__says_so(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("archive_events", keep_days=90)
    assert "0 events moved into 0 files" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_restore__file_that_is_not_the_one_written__is_named(
    shop: tuple[Experiment, list[Profile]], damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive_events(at=AT, keep_days=90)
    part = ArchivedPart.objects.order_by("day").first()
    assert part is not None
    path = archive_folder() / part.path
    content = path.read_bytes()
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(content[:-1])
    with pytest.raises(CommandError, match=part.path):
        call_command("restore_events", "2000-01-01", "2100-01-01")
    assert not Event.objects.filter(at__lt=microseconds(STARTED)).exists()
    path.write_bytes(content)
    call_command("restore_events", "2000-01-01", "2100-01-01")
    assert "events restored" in capsys.readouterr().out


def test_archive_events__no_days_kept__refused() -> None:
    with pytest.raises(CommandError, match="--keep-days must be at least 1"):
        call_command("archive_events", keep_days=0)
