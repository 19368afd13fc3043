from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from recommender.dataset import Dataset
from recommender.registry import build
from recommender.services import selection
from recommender.services.evaluation import judge, limited, split_dataset
from recommender.services.selection import candidates, choose
from tests.recommender.algorithms.conftest import world


def _silent(_step: str) -> None:
    """No progress wanted."""


def _choose(dataset: Dataset) -> selection.Choice:
    return choose(dataset, rng=np.random.default_rng(0), seed=0, say=_silent)


def test_candidates__kind_of_data__decides_what_is_tried(
    implicit: Dataset, rated: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [str(candidate) for candidate in candidates(implicit)]
    assert any(text.startswith("content") for text in texts)
    assert any(text.startswith("next-choice") for text in texts)
    assert not any("pearson" in text for text in texts)
    assert any("pearson" in str(candidate) for candidate in candidates(rated))
    monkeypatch.setattr(selection, "SMALL_CATALOGUE", 5)
    assert not any(candidate.key == "next-choice" for candidate in candidates(implicit))


@pytest.fixture
def implicit() -> Dataset:
    return world(users=120)


@pytest.fixture
def rated() -> Dataset:
    return world(users=120, explicit=True)


def test_choose__people_with_tastes__never_popularity_and_figures_descend(implicit: Dataset) -> None:
    choice = _choose(implicit)
    figures = [validated.ndcg for validated in choice.families]
    assert figures == sorted(figures, reverse=True)
    assert len({validated.candidate.key for validated in choice.families}) == len(figures)
    assert choice.best_single == choice.families[0]
    assert choice.chosen.ndcg >= choice.best_single.ndcg
    assert choice.chosen.candidate.key != "popularity"
    build(choice.chosen.candidate.key, choice.chosen.candidate.parameters)


def test_choose__same_data_and_seed__same_choice(rated: Dataset) -> None:
    assert _choose(rated) == _choose(world(users=120, explicit=True))


def test_choose__a_blend__says_of_the_test_what_it_says_of_validation(
    implicit: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MIN_GAIN", 1e-9)
    choice = _choose(implicit)
    candidate = choice.chosen.candidate
    rng = np.random.default_rng(0)
    split = split_dataset(implicit, rng=rng)
    algorithm = build(candidate.key, candidate.parameters)
    found = judge(algorithm, algorithm.fit(split.train, rng=np.random.default_rng(0)), split).quality.ndcg
    assert found == pytest.approx(choice.chosen.ndcg, abs=1e-9)


def test_choose__no_gain_from_more_members__best_single(implicit: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MIN_GAIN", 1.0)
    choice = _choose(implicit)
    assert choice.chosen == choice.best_single


def test_limited__more_people_than_wanted__a_sample_with_its_own_truth(implicit: Dataset) -> None:
    split = split_dataset(implicit, rng=np.random.default_rng(0))
    part = limited(split, max_people=10, rng=np.random.default_rng(0))
    assert part.people.size == 10
    for place, person in enumerate(part.people.tolist()):
        whole = split.people.tolist().index(person)
        ours = part.truth.items[part.truth.start[place] : part.truth.start[place + 1]]
        theirs = split.truth.items[split.truth.start[whole] : split.truth.start[whole + 1]]
        np.testing.assert_array_equal(ours, theirs)
    assert limited(split, max_people=10_000, rng=np.random.default_rng(0)) is split


def _file(folder: Path) -> Path:
    dataset = world(users=60)
    lines = [
        f"{dataset.user_ids[user]},{dataset.item_ids[item]},{at}"
        for user, item, at in zip(dataset.users, dataset.items, dataset.at, strict=True)
    ]
    file = folder / "visits.csv"
    file.write_text("user,item,timestamp\n" + "\n".join(lines))
    return file


def _evaluate(*words: str) -> str:
    out = StringIO()
    call_command("evaluate", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_evaluate__table__the_choice_stands_before_every_test_figure(tmp_path: Path) -> None:
    lines = _evaluate(str(_file(tmp_path))).splitlines()
    chosen = next(number for number, line in enumerate(lines) if line.startswith("CHOSEN: "))
    heading = next(number for number, line in enumerate(lines) if line.startswith("method"))
    assert "60 people, 25 items" in lines[0]
    assert "held out by time" in lines[0]
    assert chosen < heading
    assert lines[heading + 1].startswith("random")
    assert lines[-1].startswith("chosen − popularity: +")


def test_evaluate__markdown__one_row_a_method(tmp_path: Path) -> None:
    lines = _evaluate(str(_file(tmp_path)), "--format", "markdown").splitlines()
    heading = lines.index("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    assert lines[heading - 1].startswith("| method | NDCG@10 |")
    assert lines[heading + 1].startswith("| random | 0.")
    assert any(line.startswith("| CHOSEN | ") for line in lines)


def test_evaluate__json__same_choice_and_full_precision(tmp_path: Path) -> None:
    answer = json.loads(_evaluate(str(_file(tmp_path)), "--format", "json"))
    assert answer["test"]["CHOSEN"]["ndcg"] > answer["test"]["random"]["ndcg"]
    assert set(answer["differences"]) == {"best single", "popularity"}
    assert answer["chosen"]["algorithm"] in {"blend", *(name.split()[0] for name in answer["validation"])}


def test_evaluate__bad_file__named(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("user,item,rating\n1,a,good\n")
    with pytest.raises(CommandError, match=r"x\.csv, line 2, column rating"):
        _evaluate(str(file))


@pytest.mark.parametrize(
    "rows", [["a,x", "b,y", "c,z"], [f"u{user},i{item},{user}" for user in range(3) for item in (1, 2)]]
)
def test_evaluate__nobody_to_ask__says_what_it_takes(tmp_path: Path, rows: list[str]) -> None:
    file = tmp_path / "x.csv"
    file.write_text("user,item\n" + "\n".join(rows))
    with pytest.raises(CommandError, match="it takes people with five events or more"):
        _evaluate(str(file))


def test_evaluate__one_person_to_ask__figures_without_a_comparison(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("user,item\n" + "\n".join(f"a,{item}" for item in "xyzqr") + "\nb,x\nb,y")
    assert "one person with a wanted item: nothing to compare" in _evaluate(str(file))
