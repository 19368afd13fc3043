"""Files of ratings (MovieLens and its kin) as events of profiles and items of the catalogue.

A rating becomes `Product Liked` from four fifths of the scale's top on, else `Product Rated`: recommenders learn from
the first, and both count as seen. The rows go through the import of events, so that they come in once however often the
file is read, and an interrupted import goes on. Rows without a time get the one of their file.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from marketing.choices import ImportKind
from marketing.errors import CannotImport
from marketing.services.imports import ImportSummary, import_file
from marketing.services.mapping import RowMapping
from recommender.errors import InvalidRatings
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.ratings import find_files, iterate_ratings, read_titles
from recommender.services.strategies import ensure_event_weight

LIKED: Final = "Product Liked"
RATED: Final = "Product Rated"
LIKED_WEIGHT: Final = 3.0
LIKED_SHARE: Final = 0.8  # of the scale's top: 4 of 5 stars, as in the evaluation

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RatingsImport:
    """What came of an import: events, items, and consents where they were asked for."""

    events: ImportSummary
    items: int
    consents: int


def import_ratings(
    *,
    paths: Sequence[Path],
    items: Path | None,
    at: datetime,
    source_name: str,
    agreed: bool,
    report: Progress,
) -> RatingsImport:
    """Import files or folders; `agreed` records that these people agreed to personalization."""
    try:
        files = []
        for path in paths:
            found, described = find_files(path)
            files += found
            items = items or described
        ensure_event_weight(event_type=LIKED, weight=LIKED_WEIGHT)
        with tempfile.TemporaryDirectory(prefix="holdout-ratings-") as name:
            folder = Path(name)
            people, item_ids = _write_events(folder / "ratings.csv", files, report)
            consents = 0
            if agreed:
                _write_people(folder / "people.csv", people, at=at)
                consents = _import(folder / "people.csv", ImportKind.PROFILES, at, source_name, report).consents
            counts = upsert_items(items=_item_rows(item_ids, items), at=at)
            summary = _import(folder / "ratings.csv", ImportKind.EVENTS, at, source_name, report)
    except InvalidRatings as error:
        raise CannotImport(str(error)) from error
    return RatingsImport(events=summary, items=counts.created + counts.updated + counts.unchanged, consents=consents)


def _import(path: Path, kind: ImportKind, at: datetime, source_name: str, report: Progress) -> ImportSummary:
    return import_file(kind=kind, path=path, mapping=RowMapping(), at=at, source_name=source_name, report=report)


def _write_events(path: Path, files: Sequence[Path], report: Progress) -> tuple[dict[str, None], dict[str, None]]:
    """A file of events that is the same for the same ratings; people and items in the order they come."""
    top = max((rating for _user, _item, rating, _at in iterate_ratings(*files)), default=None)
    if top is None:
        raise InvalidRatings(f"{', '.join(file.name for file in files)}: no row")
    people: dict[str, None] = {}
    items: dict[str, None] = {}
    undated = datetime.fromtimestamp(int(max(file.stat().st_mtime for file in files)), tz=UTC).isoformat()
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("user_id", "event", "timestamp", "product_id", "rating"))
        for number, (user, item, rating, moment) in enumerate(iterate_ratings(*files), start=1):
            people.setdefault(user)
            items.setdefault(item)
            when = datetime.fromtimestamp(moment / 1_000_000, tz=UTC).isoformat() if moment else undated
            writer.writerow((user, LIKED if rating >= LIKED_SHARE * top else RATED, when, item, f"{rating:g}"))
            if number % 10_000 == 0:
                report(f"read {number:,} ratings", 0, 0)
    return people, items


def _write_people(path: Path, people: dict[str, None], *, at: datetime) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("user_id", "consent_personalization", "consent_at", "consent_text_version"))
        writer.writerows((user, "yes", at.astimezone(UTC).isoformat(), "import_ratings") for user in people)


def _item_rows(item_ids: dict[str, None], described: Path | None) -> list[ItemRow]:
    """Items of the description file, and those that only the ratings name."""
    titles = read_titles(described) if described else {}
    return [
        ItemRow(
            item_id=item_id,
            title=titles.get(item_id, ("", ()))[0] or item_id,
            category=next(iter(titles.get(item_id, ("", ()))[1]), ""),
            tags=titles.get(item_id, ("", ()))[1],
        )
        for item_id in {**item_ids, **dict.fromkeys(titles)}
    ]
