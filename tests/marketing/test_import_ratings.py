"""Ratings in MovieLens's form become events, items and, where it is said, consents; a recommender learns from them."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from marketing.models import Event, Profile
from recommender.models import EventWeight, Item
from recommender.services.serving import recommend
from recommender.services.strategies import ensure_default_strategies

pytestmark = pytest.mark.django_db

TASTES = 3


@pytest.fixture
def movies(tmp_path: Path) -> Path:
    """Thirty people of three tastes, who rate five of their films high, in an order of their own, and one low."""
    lines = ["userId,movieId,rating,timestamp"]
    for person in range(1, 31):
        taste = person % TASTES
        films = [taste * 10 + (person // TASTES + step) % 7 for step in range(5)]
        lines += [f"{person},{film},4.5,{1_700_000_000 + place * 86_400}" for place, film in enumerate(films)]
        lines.append(f"{person},{(taste + 1) % TASTES * 10},1.0,1700900000")
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    titles = [
        f'{taste * 10 + film},"Film {film}, of {taste}",Kind{taste}|All' for taste in range(3) for film in range(7)
    ]
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + "\n".join([*titles, "99,Never rated,"]) + "\n")
    return tmp_path


def _import(*words: str) -> str:
    out = StringIO()
    call_command("import_ratings", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_import__a_folder__events_items_consents_and_a_slate(movies: Path) -> None:
    said = _import(str(movies), "--agreed")
    assert said == "180 ratings: 180 stored, 0 known already, 0 rejected; 22 items, 30 consents.\n"
    assert Event.objects.count() == 180
    film = Item.objects.get(item_id="20")
    assert (film.title, film.category, film.tags) == ("Film 0, of 2", "Kind2", ["Kind2", "All"])
    assert EventWeight.objects.get(event_type="Product Liked").weight == 3.0
    ensure_default_strategies(at=timezone.now())
    call_command("train", "item-knn", stdout=StringIO(), stderr=StringIO())
    third = Profile.objects.order_by("pk")[2]  # a sequence of PostgreSQL does not begin anew for each test
    answer = recommend(user_id=str(third.pk), k=2, strategy="item-knn", context={}, at=timezone.now(), budget_ms=5_000)
    assert answer.fallback == ""
    assert {item.category for item in answer.items} == {"Kind0"}


def test_import__the_same_file_again__adds_nothing(movies: Path) -> None:
    _import(str(movies))
    said = _import(str(movies))
    assert "Nobody has agreed to personalization" in said
    assert Event.objects.count() == 180


def test_import__no_times_and_no_titles__the_files_time_and_the_id(tmp_path: Path) -> None:
    file = tmp_path / "visits.tsv"
    file.write_text("u1\ta\nu1\tb\nu2\ta\n")
    assert _import(str(file)).startswith("3 ratings: 3 stored")
    assert Item.objects.get(item_id="a").title == "a"
    written = int(file.stat().st_mtime) * 1_000_000
    assert set(Event.objects.values_list("at", flat=True)) == {written}


@pytest.mark.parametrize(
    ("text", "words"),
    [("user,item,rating\n1,a,good\n", "line 2, column rating"), ("user,item,rating\n", "no row")],
)
def test_import__bad_file__named_with_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(CommandError, match=words):
        _import(str(file))
