from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recommender.dataset import Dataset
from recommender.errors import InvalidRatings
from recommender.services import ratings
from recommender.services.ratings import find_files, read_items, read_ratings


def _written(folder: Path, text: str, name: str = "ratings.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def _rows(dataset: Dataset) -> list[tuple[str, str, float, int]]:
    users, items = dataset.user_ids[dataset.users].tolist(), dataset.item_ids[dataset.items].tolist()
    return list(zip(users, items, dataset.weights.tolist(), dataset.at.tolist(), strict=True))


EXPECTED = [("1", "10", 4.0, 7_000_000), ("1", "20", 3.5, 8_000_000), ("2", "10", 1.0, 9_000_000)]


@pytest.mark.parametrize(
    "text",
    [
        "userId,movieId,rating,timestamp\n1,20,3.5,8\n1,10,4,7\n2,10,1,9\n",
        '\ufeff"user_id";"item_id";"score";"ts"\r\n"1";"20";"3.5";"8"\r\n1;10;4;7\r\n2;10;1;9\r\n',
        "1\t20\t3.5\t8\n1\t10\t4\t7\n\n2\t10\t1\t9\n",
        "1::20::3.5::8\n1::10::4::7\n2::10::1::9\n",
        "timestamp,rating,itemid,uid\n8000,3.5,20,1\n7,4,10,1\n9,1,10,2\n".replace("8000", "8"),
        "user,item,rating,date\n1,20,3.5,1970-01-01T00:00:08\n1,10,4,1970-01-01T01:00:07+01:00\n2,10,1,9\n",
    ],
)
def test_read__usual_forms__same_rows(tmp_path: Path, text: str) -> None:
    dataset = read_ratings(_written(tmp_path, text))
    assert _rows(dataset) == EXPECTED
    assert dataset.explicit


def test_read__gzip_and_small_chunks__same_rows_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings, "CHUNK", 2)
    file = tmp_path / "ratings.csv.gz"
    file.write_bytes(gzip.compress(b"userId,movieId,rating,timestamp\n1,20,3.5,8\n1,10,4,7\n2,10,1,9\n"))
    lines: list[int] = []
    assert _rows(read_ratings(file, progress=lines.append)) == EXPECTED
    assert lines == [2, 3]


def test_read__times_in_milli_and_microseconds__recognized(tmp_path: Path) -> None:
    text = "user,item,rating,time\n1,a,1,1700000000000\n1,b,2,1700000000000000\n1,c,3,1700000000\n"
    assert {row[3] for row in _rows(read_ratings(_written(tmp_path, text)))} == {1_700_000_000_000_000}


@pytest.mark.parametrize("text", ["u,a\nu,b\n", "user,item\nu,a\nu,b\n", "user,item,rating\nu,a,1\nu,b,1\n"])
def test_read__no_ratings_or_all_the_same__implicit_without_time(tmp_path: Path, text: str) -> None:
    dataset = read_ratings(_written(tmp_path, text))
    assert not dataset.explicit
    assert _rows(dataset) == [("u", "a", 1.0, 0), ("u", "b", 1.0, 0)]


VISITS = 'I,4,"www"\nA,1000,1,"Home","/home"\nC,"7",7\nV,1000,1\nV,1001,1\n'


def test_read__visit_logs__people_of_two_files_are_different(tmp_path: Path) -> None:
    first, second = _written(tmp_path, VISITS, "a.data"), _written(tmp_path, VISITS, "b.test")
    dataset = read_ratings(first, second)
    assert sorted(dataset.user_ids.tolist()) == ["1:7", "7"]
    assert dataset.n_interactions == 4
    assert not dataset.explicit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no row"),
        ("user,item,rating\n", "no row"),
        ("just words\n", "ratings.csv, line 1: no comma"),
        ("user,rating\n1,2\n", "line 1: no column for the item"),
        ("item,rating\n1,2\n", "line 1: no column for the user"),
        ("user,item,rating\n1,a,good\n", "line 2, column rating: 'good' is not a number"),
        ("user,item,rating\n1,a,inf\n", "line 2, column rating"),
        ("user,item,rating,time\n1,a,1,noon\n", "line 2, column time: 'noon' is neither"),
        ("user,item,rating,time\n1,a,1,nan\n", "line 2, column time"),
        ("user,item,rating\n1,a,1\n1,b\n", "line 3: 2 columns, at least 3"),
        ("user,item,rating\n,a,1\n", "line 2, column user: empty"),
        ("user,item,rating\n1,,1\n", "line 2, column item: empty"),
        ('I,4,"www"\nV,1000,1\n', "line 2: a visit before the first visitor"),
    ],
)
def test_read__bad_input__names_line_and_column(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidRatings, match=words):
        read_ratings(_written(tmp_path, text))


def test_read__no_file__named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRatings, match="No such file"):
        read_ratings(tmp_path / "gone.csv")


def test_items__titles_and_genres__tokens_and_items_without_a_rating(tmp_path: Path) -> None:
    items = _written(tmp_path, "movieId,title,genres\n10,Toy Story (1995),Comedy|Drama\n99,Up,\n", "movies.csv")
    assert read_items(items)["10"] == ("genres=comedy", "genres=drama", "word=toy", "word=story", "word=1995")
    dataset = read_ratings(_written(tmp_path, "1,10,4,7\n1,20,3,8\n1,30,1,9\n"), items=items)
    assert dataset.n_items == 4
    assert dataset.tokens[dataset.item_ids.tolist().index("99")] == ("word=up",)


def test_items__no_id_column__named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRatings, match="no column with an item id"):
        read_items(_written(tmp_path, "name\nx\n"))


def test_folder__ratings_items_tags_and_text__told_apart(tmp_path: Path) -> None:
    _written(tmp_path, "userId,movieId,rating,timestamp\n1,10,4,7\n")
    _written(tmp_path, "userId,movieId,tag,timestamp\n1,10,fun,7\n", "tags.csv")
    _written(tmp_path, "movieId,title,genres\n10,Toy,Comedy\n", "movies.csv")
    _written(tmp_path, "Please cite\n", "README.txt")
    assert find_files(tmp_path) == ([tmp_path / "ratings.csv"], tmp_path / "movies.csv")
    assert find_files(tmp_path / "tags.csv") == ([tmp_path / "tags.csv"], None)


def test_folder__nothing_of_use__named(tmp_path: Path) -> None:
    _written(tmp_path, "Please cite\n", "README.txt")
    with pytest.raises(InvalidRatings, match="no file with a user and an item column"):
        find_files(tmp_path)
