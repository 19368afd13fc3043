"""`manage.py analyze_csv`: the reference to nine digits, and bad input that leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from experiments.facts.warehouse import dataset_folder, remove_dataset
from experiments.models import Experiment, Metric
from experiments.selectors import get_report, list_metrics
from experiments.services import imports
from tests.experiments.commands.hillstrom import differences, load_reference, write_rows

pytestmark = pytest.mark.django_db

ROWS = "".join(
    f"p{number},{'A' if number % 2 else 'B'},{int(number % 5 == 0)},{number % 7}.50,{number}\n" for number in range(200)
)
PLAIN = f"who,arm,bought,spend,age\n{ROWS}"


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path


def run(path: Path, *arguments: str) -> str:
    stream = io.StringIO()
    call_command("analyze_csv", str(path), *arguments, stdout=stream)
    return stream.getvalue()


def run_json(path: Path, *arguments: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(run(path, *arguments, "--format", "json"))
    return loaded


def write(folder: Path, content: str = PLAIN) -> Path:
    path = folder / "Spring sale.csv"
    path.write_text(content)
    return path


HILLSTROM = ("--arm", "segment", "--control", "No E-Mail", "--covariate", "history")
BASIC = ("--arm", "arm", "--control", "A", "--metric", "bought", "--metric", "spend:mean")


@pytest.mark.parametrize("metric", ["visit:proportion", "conversion", "spend:mean"])
def test_analyze_csv__rows_with_the_sums_of_the_reference__equal_it(
    metric: str, folder: Path, reference_dir: Path
) -> None:
    name = metric.partition(":")[0]
    reference = load_reference(reference_dir)
    write_rows(folder / "rows.csv", reference, name)
    found = run_json(folder / "rows.csv", *HILLSTROM, "--metric", metric)
    assert differences(found, reference, {name}) == []


def test_analyze_csv__the_data_set_itself__equals_the_reference(reference_dir: Path, data_dir: Path) -> None:
    metrics = ("--metric", "visit:proportion", "--metric", "conversion:proportion", "--metric", "spend:mean")
    found = run_json(data_dir / "hillstrom.csv", *HILLSTROM, *metrics)
    assert differences(found, load_reference(reference_dir), {"visit", "conversion", "spend"}) == []


def test_analyze_csv__json__is_one_object_of_the_documented_shape(folder: Path) -> None:
    found = run_json(write(folder), *BASIC, "--unit", "who", "--covariate", "age")
    assert found.keys() == {"srm", "comparisons"}
    assert found["srm"]["p_value"] == 1.0
    bought, spend = found["comparisons"]
    assert (bought["metric"], bought["kind"], bought["control"], bought["arm"]) == ("bought", "proportion", "A", "B")
    assert (spend["n_control"], spend["n_arm"]) == (100, 100)
    assert spend["adjusted"]["covariates"] == ["age"]
    assert found["comparisons"][0].keys() == {
        *("metric", "kind", "control", "arm", "n_control", "n_arm", "mean_control", "mean_arm"),
        *("effect", "effect_ci", "p_value", "lift", "lift_ci", "lift_p_value", "adjusted"),
    }


def test_analyze_csv__no_covariate__has_nothing_adjusted(folder: Path) -> None:
    assert run_json(write(folder), *BASIC)["comparisons"][0]["adjusted"] is None


def test_analyze_csv__lift_that_is_undefined__is_null(folder: Path) -> None:
    content = PLAIN.replace(".50", "").replace(",spend,", ",loss,").replace("p", "q")
    lines = content.splitlines()
    negative = [
        lines[0],
        *(",".join([*line.split(",")[:3], "-1" if n % 3 else "-2", "1"]) for n, line in enumerate(lines[1:])),
    ]
    arguments = ("--arm", "arm", "--control", "A", "--metric", "loss:mean")
    found = run_json(write(folder, "\n".join(negative)), *arguments)["comparisons"][0]
    assert (found["lift"], found["lift_ci"], found["lift_p_value"]) == (None, None, None)
    assert found["effect"] is not None


def test_analyze_csv__table_of_what_is_undefined__has_dashes(folder: Path) -> None:
    content = PLAIN.replace(".50", "")
    lines = [line.rsplit(",", 2) for line in content.splitlines()]
    constant = "\n".join(
        ",".join([head, "7" if number else spend, age]) for number, (head, spend, age) in enumerate(lines)
    )
    assert "(–)" in run(write(folder, constant), "--arm", "arm", "--control", "A", "--metric", "spend:mean")


def test_analyze_csv__table__names_the_page(folder: Path) -> None:
    text = run(write(folder, PLAIN.replace(",A,", ",[red]A,")), *BASIC[:2], "--control", "[red]A", *BASIC[4:])
    assert "bought" in text
    assert "Sample ratio: p = 1 (fine)" in text
    assert "/experiments/spring-sale-" in text


def test_analyze_csv__adjusted_and_mismatched__says_both(folder: Path) -> None:
    content = PLAIN + "".join(f"extra{n},A,0,1.0,3\n" for n in range(100))
    text = run(write(folder, content), *BASIC, "--covariate", "age")
    assert "adjusted" in text
    assert "do not trust the effects" in text


def test_analyze_csv__designed_weights__are_what_the_ratio_is_held_against(folder: Path) -> None:
    content = PLAIN + "".join(f"extra{n},A,0,1.0,3\n" for n in range(100))
    found = run_json(write(folder, content), *BASIC, "--weight", "A=2", "--weight", "B=1")
    assert found["srm"]["p_value"] == 1.0


def test_analyze_csv__same_file_twice__is_one_experiment(folder: Path) -> None:
    path = write(folder)
    assert run_json(path, *BASIC) == run_json(path, *BASIC)
    assert Experiment.objects.count() == 1
    run_json(path, *BASIC[:-2])
    assert Experiment.objects.count() == 2


def test_analyze_csv__imported__has_a_stored_report_and_offers_no_metric(folder: Path) -> None:
    run(write(folder), *BASIC)
    experiment = Experiment.objects.get()
    assert (experiment.status, experiment.name) == ("stopped", "Spring sale.csv")
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    assert report.is_single_look
    assert report.metrics[0].comparisons[0].always_valid.reason is not None
    assert list_metrics() == []
    assert not any(experiment.key in choice.key for choice in list_metrics())


def test_analyze_csv__data_set_lost__is_written_again(folder: Path) -> None:
    path = write(folder)
    first = run_json(path, *BASIC)
    reference = Experiment.objects.get().facts_reference
    remove_dataset(reference)
    assert run_json(path, *BASIC) == first
    assert dataset_folder(reference).exists()


def test_analyze_csv__arms_with_equal_slugs__stay_apart(folder: Path) -> None:
    content = PLAIN.replace(",A,", ",a b,").replace(",B,", ",A-B,")
    found = run_json(write(folder, content), "--arm", "arm", "--control", "a b", *BASIC[4:])
    assert {one["arm"] for one in found["comparisons"]} == {"A-B"}
    found = run_json(
        write(
            folder,
            PLAIN.replace("p0,B,", "p0,x-2,").replace("p1,A,", "p1,x,").replace(",A,", ",X,").replace(",B,", ",x-2,")
            + "q,x,0,1,1\n",
        ),
        "--arm",
        "arm",
        "--control",
        "x",
        *BASIC[4:],
    )
    assert {one["arm"] for one in found["comparisons"]} == {"X", "x-2"}
    kanji = PLAIN.replace(",A,", ",対照,").replace(",B,", ",処置,")
    found = run_json(write(folder, kanji), "--arm", "arm", "--control", "対照", *BASIC[4:])
    assert {one["arm"] for one in found["comparisons"]} == {"処置"}


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            PLAIN,
            ("--arm", "group", "--control", "A", "--metric", "bought"),
            "line 1, column group: is not in the header",
        ),
        (PLAIN, ("--arm", "arm", "--control", "C", "--metric", "bought"), "column arm: no row has the control 'C'"),
        (PLAIN.replace("p7,A,0,0.50", "p7,A,0,none"), BASIC, "line 9, column spend: 'none' is not a number"),
        (PLAIN + "q,C,0,1,1\n", BASIC, "line 202, column arm: arm 'C' has one unit"),
        (PLAIN + "p3,A,0,1,1\n", (*BASIC, "--unit", "who"), "line 202, column who: unit 'p3' is in line 5 already"),
        (PLAIN, (*BASIC, "--weight", "C=1"), "column arm: no row has the arm 'C' that a weight names"),
        (PLAIN, (*BASIC, "--weight", "A=0", "--weight", "B=1"), "a weight must be positive"),
        (PLAIN, (*BASIC, "--weight", "A=lots"), "write ARM=SHARE"),
        (PLAIN, (*BASIC, "--weight", "A=nan", "--weight", "B=1"), "a weight must be positive"),
        (PLAIN, (*BASIC, "--weight", "A=inf", "--weight", "B=1"), "a weight must be positive"),
        (PLAIN, (*BASIC, "--weight", "A=0.1"), "give every arm a weight, or none; 'B' has none"),
        (PLAIN, (*BASIC, "--covariate", "spend"), "column spend: a metric cannot be its own covariate"),
    ],
)
def test_analyze_csv__bad_input__is_named_and_leaves_nothing(
    content: str, arguments: tuple[str, ...], message: str, folder: Path
) -> None:
    path = write(folder, content)
    with pytest.raises(CommandError, match=message) as caught:
        run(path, *arguments)
    assert caught.value.returncode == 2
    assert not Experiment.objects.exists()
    assert not (folder / "data" / "parquet").exists()


def test_analyze_csv__failure_while_storing__leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_arguments: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(imports, "refresh_experiment", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        run(write(folder), *BASIC)
    assert not Experiment.objects.exists()
    assert not Metric.objects.exists()
    assert list((folder / "data" / "parquet").iterdir()) == []


def test_analyze_csv__metric_with_a_colon__is_a_name_unless_a_kind_follows(folder: Path) -> None:
    content = PLAIN.replace(",spend,", ",spend:eur,")
    found = run_json(write(folder, content), *BASIC[:4], "--metric", "spend:eur", "--metric", "bought:mean")
    assert [(one["metric"], one["kind"]) for one in found["comparisons"]] == [("spend:eur", "mean"), ("bought", "mean")]


def process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a data folder and a database of its own."""
    environment = {
        **os.environ,
        "HOLDOUT_DATA_DIR": str(folder / "fresh"),
        "DATABASE_URL": f"sqlite:///{folder / 'fresh.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


def test_analyze_csv__fresh_clone__sets_the_database_up_and_prints_only_json(folder: Path) -> None:
    done = process(folder, "analyze_csv", str(write(folder)), *BASIC, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["srm"]["p_value"] == 1.0
    bad = process(folder, "analyze_csv", str(write(folder)), *BASIC[:2], "--control", "C", "--metric", "bought")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "no row has the control 'C'" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_analyze_csv__older_database__asks_for_migrate(folder: Path) -> None:
    assert process(folder, "migrate", "contenttypes", "--verbosity", "0").returncode == 0
    done = process(folder, "analyze_csv", str(write(folder)), *BASIC)
    assert (done.returncode, done.stdout) == (2, "")
    assert "run manage.py migrate first" in done.stderr
