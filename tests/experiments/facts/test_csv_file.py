"""Reading a finished experiment: every accepted form, and a clear word for everything wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from experiments.facts.csv_file import Columns, CsvProblem, MetricColumn, read_finished_experiment

PLAIN = "customer,group,bought,spend,before\na,A,1,9.99,1\nb,B,0,0,2.5\nc,A,0,0,0\nd,B,TRUE,1e2,-3\n"


def columns(**changes: object) -> Columns:
    fields: dict[str, object] = {
        "arm": "group",
        "control": "A",
        "metrics": (MetricColumn("bought", "proportion"), MetricColumn("spend", "mean")),
        "unit": "customer",
        "covariate": "before",
    }
    return Columns(**{**fields, **changes})  # type: ignore[arg-type]  # the fields of Columns


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        gzip.compress(PLAIN.encode(), mtime=0),
        gzip.compress(b"\xef\xbb\xbf" + PLAIN.replace("\n", "\r\n").encode(), mtime=0),
        PLAIN.replace("TRUE", " true ").encode() + b"\n\n",
        PLAIN.replace("d,B", '"d","B"').encode(),
    ],
)
def test_read__every_accepted_form__gives_the_same(tmp_path: Path, content: bytes) -> None:
    data = read_finished_experiment(write(tmp_path, content), columns())
    assert data.arms == ("A", "B")
    assert data.arm_of_unit == ("A", "B", "A", "B")
    bought, spend = data.metrics
    assert (bought.values, bought.scale, bought.kind) == ((1, 0, 0, 1), 1, "proportion")
    assert (spend.values, spend.scale, spend.kind) == ((999, 0, 0, 10_000), 100, "mean")
    assert data.covariate is not None
    assert (data.covariate.values, data.covariate.scale) == ((10, 25, 0, -30), 10)


def test_read__kind_not_given__is_told_by_the_values(tmp_path: Path) -> None:
    wanted = columns(metrics=(MetricColumn("bought"), MetricColumn("spend")))
    data = read_finished_experiment(write(tmp_path, PLAIN), wanted)
    assert [metric.kind for metric in data.metrics] == ["proportion", "mean"]


def test_read__sixteen_digits__are_all_kept(tmp_path: Path) -> None:
    content = "g,x\nA,0.1234567890123456\nA,1\nB,2\nB,3\n"
    data = read_finished_experiment(
        write(tmp_path, content), Columns(arm="g", control="A", metrics=(MetricColumn("x"),))
    )
    assert data.metrics[0].values[0] == 1_234_567_890_123_456
    assert data.metrics[0].scale == 10**16


def test_read__digits_beyond_int64__rounded_at_the_last_place_that_fits(tmp_path: Path) -> None:
    content = "g,x\nA,5000000000\nA,0.00000000005\nB,2\nB,3\n"
    data = read_finished_experiment(
        write(tmp_path, content), Columns(arm="g", control="A", metrics=(MetricColumn("x"),))
    )
    assert data.metrics[0].scale == 10**9
    assert data.metrics[0].values == (5 * 10**18, 0, 2 * 10**9, 3 * 10**9)


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("", {}, "line 1: the file has no header"),
        ("group,group\n", {}, "line 1, column group: occurs twice in the header"),
        (PLAIN.replace("group", "grp"), {}, "line 1, column group: is not in the header, which has: customer, grp"),
        (PLAIN, {"covariate": "absent"}, "line 1, column absent: is not in the header"),
        ("customer,group,bought,spend,before\n", {}, "a header and no rows"),
        (PLAIN.replace("c,A", ",A"), {}, "line 4, column customer: the unit is empty"),
        (PLAIN.replace("c,A", "c,"), {}, "line 4, column group: the arm is empty"),
        (PLAIN.replace("c,A", "a,A"), {}, "line 4, column customer: unit 'a' is in line 2 already"),
        (
            PLAIN,
            {"control": "C"},
            r"column group: no row has the control 'C'; the column has 'A' \(line 2\), 'B' \(line 3\)",
        ),
        (PLAIN.replace("b,B", f"b,{'B' * 121}"), {}, "line 3, column group: the arm's name is longer than 120"),
        (PLAIN.replace("spend", "s" * 121), {"metrics": (MetricColumn("s" * 121),)}, "column s+…: the name is longer"),
        (PLAIN.replace(",B", ",A"), {}, "column group: every row is in the control 'A'"),
        (PLAIN.replace("b,B", "b,C"), {}, "line 5, column group: arm 'B' has one unit"),
        (PLAIN.replace("9.99", "much"), {}, "line 2, column spend: 'much' is not a number"),
        (PLAIN.replace("9.99", "NaN"), {}, "line 2, column spend: 'NaN' is not a number"),
        (PLAIN.replace("9.99", "1,5"), {}, "line 2: 6 cells where the header has 5"),
        (PLAIN.replace("9.99", ""), {}, "line 2, column spend: the cell is empty"),
        (PLAIN.replace("9.99", "1e40"), {}, "line 2, column spend: '1e40' is too large"),
        (PLAIN.replace("a,A,1", "a,A,2"), {}, "line 2, column bought: '2' is neither 0 nor 1"),
        (PLAIN.replace("c,A,0,0,0", "c,A,0,0"), {}, "line 4: 4 cells where the header has 5"),
        (
            PLAIN,
            {"metrics": (MetricColumn("spend"), MetricColumn("spend", "mean"))},
            "column spend: asked for .* twice",
        ),
    ],
)
def test_read__something_wrong__named_with_line_and_column(
    tmp_path: Path, content: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(CsvProblem, match=message):
        read_finished_experiment(write(tmp_path, content), columns(**changes))


def test_read__too_many_arms__asks_whether_it_is_the_column(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n},1,1,1\n" for n in range(60))
    with pytest.raises(CsvProblem, match=r"line 52, column group: more than 50 different arms"):
        read_finished_experiment(write(tmp_path, "customer,group,bought,spend,before\n" + rows), columns())


def test_read__not_utf8__names_the_line(tmp_path: Path) -> None:
    with pytest.raises(CsvProblem, match="line 3: the text is not UTF-8"):
        read_finished_experiment(write(tmp_path, PLAIN.encode().replace(b"b,B", b"\xff,B")), columns())


def test_read__cell_longer_than_csv_allows__names_the_line(tmp_path: Path) -> None:
    with pytest.raises(CsvProblem, match="line 2: field larger than field limit"):
        read_finished_experiment(write(tmp_path, PLAIN.replace("9.99", "9" * 200_000)), columns())


@pytest.mark.parametrize("content", [gzip.compress(PLAIN.encode(), mtime=0)[:-12], b"\x1f\x8b\x08broken" + b"\0" * 40])
def test_read__broken_gzip__cannot_be_read(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CsvProblem, match="cannot be read"):
        read_finished_experiment(write(tmp_path, content), columns())


def test_read__no_file__says_so(tmp_path: Path) -> None:
    with pytest.raises(CsvProblem, match="cannot be read: No such file"):
        read_finished_experiment(tmp_path / "absent.csv", columns())
