"""`manage.py evaluate PATH`: chooses a model on validation data, prints the choice, then asks the test part once.

The protocol: the last fifth of each person's events (people with five or more) is held out, by time where there is
time, else at random; everything a person had is filtered; items nobody has in the training part stay wanted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from recommender.errors import RecommenderError

HEADING = "{:<60} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8}"
ROW = "{:<60} {:>8.4f} {:>8.4f} {:>8.4f} {:>8.3f} {:>8.2f} {:>6.3f} {:>8.2f} {:>8.2f}"
MARKDOWN_HEADING = "\n|" + " {} |" * 9 + "\n|---" + "|---:" * 8 + "|"
MARKDOWN_ROW = "| {} | {:.4f} | {:.4f} | {:.4f} | {:.3f} | {:.2f} | {:.3f} | {:.2f} | {:.2f} |"


class Command(BaseCommand):
    """Any file of ratings or visits, or a folder of them; nothing is tuned on the test part."""

    help = "Evaluate all algorithms on a data set and choose one on validation data."

    def add_arguments(self, parser: CommandParser) -> None:
        """Files and a seed."""
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
        parser.add_argument("--items", type=Path, help="a file that describes the items")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--format", choices=["table", "markdown", "json"], default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        """The choice first, the test figures after it."""
        from recommender.services.evaluation import split_dataset
        from recommender.services.ratings import find_files, read_ratings
        from recommender.services.selection import choose

        self.as_json: bool = options["format"] == "json"
        self.as_markdown: bool = options["format"] == "markdown"
        seed: int = options["seed"]
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        try:
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("read", total=None)

                def say(step: str) -> None:
                    progress.update(task, description=step)

                files: list[Path] = []
                items: Path | None = options["items"]
                for path in options["paths"]:
                    found, described = find_files(path)
                    files += found
                    items = items or described
                dataset = read_ratings(*files, items=items, progress=lambda lines: say(f"read {lines} lines"))
                rng = np.random.default_rng(seed)
                split = split_dataset(dataset, rng=rng)
                self._say_data(dataset, split)
                choice = choose(split.train, rng=rng, seed=seed, say=lambda step: say(f"validate {step}"))
                self._say_choice(choice)
                self._test(choice, split, seed, say)
        except (RecommenderError, ValueError) as error:
            raise CommandError(str(error)) from error

    def _say_data(self, dataset: Any, split: Any) -> None:
        kind = "ratings" if dataset.explicit else "implicit"
        how = "by time" if split.is_temporal else "at random (no real time stamps)"
        self._line(
            f"{dataset.n_users} people, {dataset.n_items} items, {dataset.n_interactions} interactions ({kind}); "
            f"held out {how}; {split.people.size} people with a wanted item"
        )

    def _say_choice(self, choice: Any) -> None:
        self._line("\nNDCG@10 on validation data (a further fifth of the training part):")
        for validated in choice.families:
            self._line(f"  {validated.ndcg:.4f}  {validated.candidate}")
        self._line(f"best single: {choice.best_single.candidate} ({choice.best_single.ndcg:.4f})")
        self._line(f"CHOSEN: {choice.chosen.candidate} ({choice.chosen.ndcg:.4f})\n")

    def _test(self, choice: Any, split: Any, seed: int, say: Any) -> None:
        from recommender.evaluation.ranking import paired
        from recommender.services.evaluation import judge_scores

        titles = ("method", "NDCG@10", "rec@10", "MAP@10", "coverage", "novelty", "Gini", "fit CPU", "rank CPU")
        self._line((MARKDOWN_HEADING if self.as_markdown else HEADING).format(*titles))
        judged = {"random": (judge_scores(_random(split, seed), split), 0.0, 0.0)}
        self._row("random", *judged["random"])
        families = {str(validated.candidate): validated.candidate for validated in reversed(choice.families)}
        for name, candidate in {**families, "CHOSEN": choice.chosen.candidate}.items():
            say(f"test {name}")
            judged[name] = _tested(candidate, split, seed)
            self._row(name, *judged[name])
        best = judged["CHOSEN"][0].people.ndcg
        differences = {
            label: paired(best, judged[name][0].people.ndcg)
            for label, name in (
                ("best single", str(choice.best_single.candidate)),
                ("popularity", next(name for name in families if name.startswith("popularity"))),
            )
            if best.size > 1
        }
        self._line("" if differences else "\none person with a wanted item: nothing to compare")
        for label, difference in differences.items():
            self._line(
                f"chosen − {label}: {difference.difference:+.4f} "
                f"(95 % {difference.lower:+.4f} to {difference.upper:+.4f}, paired over {difference.n} people)"
            )
        if self.as_json:
            answer = {
                "chosen": {"algorithm": choice.chosen.candidate.key, "parameters": choice.chosen.candidate.parameters},
                "validation": {str(family.candidate): family.ndcg for family in choice.families},
                "test": {name: asdict(found[0].quality) for name, found in judged.items()},
                "differences": {label: asdict(difference) for label, difference in differences.items()},
            }
            self.stdout.write(json.dumps(answer))

    def _row(self, name: str, judged: Any, fit: float, rank: float) -> None:
        found = judged.quality
        figures = (found.ndcg, found.recall, found.map, found.coverage, found.novelty, found.gini, fit, rank)
        self._line(
            (MARKDOWN_ROW if self.as_markdown else ROW).format(name if self.as_markdown else name[:60], *figures)
        )

    def _line(self, text: str) -> None:
        if not self.as_json:
            self.stdout.write(text)
            self.stdout.flush()


def _tested(candidate: Any, split: Any, seed: int) -> tuple[Any, float, float]:
    from recommender.registry import build
    from recommender.services.evaluation import judge

    algorithm = build(candidate.key, candidate.parameters)
    started = time.process_time()
    arrays = algorithm.fit(split.train, rng=np.random.default_rng(seed))
    fitted = time.process_time()
    found = judge(algorithm, arrays, split)
    return found, fitted - started, time.process_time() - fitted


def _random(split: Any, seed: int) -> Iterator[tuple[slice, Any]]:
    rng = np.random.default_rng(seed)
    for place in range(split.people.size):
        yield slice(place, place + 1), rng.random((1, split.train.n_items), dtype=np.float32)
