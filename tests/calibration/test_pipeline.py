"""Calibration of the whole pipeline: events in, report out, the generator's parameter as the truth."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from experiments.reports import Bounds
from marketing.models import Event, Profile
from marketing.services.demo import calibration
from marketing.services.demo.calibration import Finding, Share, mean_appetite, run_world, run_worlds, summarize
from marketing.services.demo.people import build_people

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WORLDS = 200
PROMISED = 0.05


def commit_seed() -> int:
    """A seed that nobody chose and everybody can repeat: the commit's hash."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return int(answer.stdout.strip()[:12], 16)


@pytest.mark.slow
@pytest.mark.django_db
def test_pipeline__200_worlds__intervals_hold_what_they_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """A correct engine fails the first bounds in 0.2 % of runs."""
    seed = commit_seed()
    findings = [
        finding
        for found in run_worlds(worlds=WORLDS, seed=seed, profiles=calibration.PEOPLE, at=AT)
        for finding in found
    ]
    shares = {(share.metric, share.name): share for share in summarize(findings)}
    report = "\n".join(f"{share.metric}: {share.name}: {share.hits} of {share.worlds}" for share in shares.values())
    with capsys.disabled():
        sys.stderr.write(f"\nseed {seed} (git rev-parse HEAD)\n{report}\n")
    for metric, name in product(
        ("conversion", "average_order_value"), ("coverage of the effect", "coverage of the lift")
    ):
        coverage = shares[metric, name]
        assert coverage.worlds == WORLDS, report
        assert 0.90 <= (coverage.value or 0.0) <= 0.99, f"seed {seed}\n{report}"
    # What an order is worth changes in no world, so that the ratio's errors can be counted in each of them; its
    # always-valid interval is refused with so few orders, and so never wrong.
    fixed, always_valid = "significant without an effect", "always-valid interval excludes zero without an effect"
    assert shares["average_order_value", always_valid].worlds == 0, report
    without_effect = (
        ("conversion", fixed, WORLDS // 2),
        ("conversion", always_valid, WORLDS // 2),
        ("average_order_value", fixed, WORLDS),
    )
    for metric, name, worlds in without_effect:
        errors = shares[metric, name]
        assert errors.worlds == worlds, report
        bound = PROMISED + 3 * math.sqrt(PROMISED * (1 - PROMISED) / errors.worlds)
        assert (errors.value or 0.0) <= bound, f"seed {seed}\n{report}"


@pytest.mark.django_db
def test_world__analyzed__leaves_no_trace_and_knows_its_truth() -> None:
    found = run_world(rng=np.random.default_rng(5), profiles=240, at=AT, lift=0.3)
    assert [finding.metric for finding in found] == ["conversion", "revenue", "average_order_value"]
    assert [finding.lift for finding in found] == [0.3, 0.3, 0.0]
    assert all(finding.covers_lift is not None for finding in found)
    assert (Profile.objects.count(), Event.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_worlds__every_second_one__has_no_lift() -> None:
    lifts = [found[0].lift for found in run_worlds(worlds=3, seed=8, profiles=120, at=AT, lift=0.4)]
    assert lifts == [0.4, 0.0, 0.4]


def test_mean_appetite__formula__agrees_with_the_generator() -> None:
    appetite = build_people(rng=np.random.default_rng(1), number=100_000).appetite
    assert appetite.mean() == pytest.approx(mean_appetite(), abs=4 * appetite.std() / 100_000**0.5)


def test_summary__counts__leave_out_what_is_undefined() -> None:
    def finding(lift: float, *flags: bool | None) -> Finding:
        return Finding("conversion", lift, *flags)

    shares = summarize(
        [
            finding(0.3, True, False, True, None),
            finding(0.0, True, True, False, True),
            finding(0.0, None, None, None, None),
        ]
    )
    assert [(share.hits, share.worlds) for share in shares] == [(2, 2), (1, 2), (0, 1), (1, 1)]
    assert shares[1].value == 0.5
    assert shares[1].error == pytest.approx(math.sqrt(0.125))
    assert Share("coverage", "x", 0, 0).value is None
    assert Share("coverage", "x", 0, 0).error is None


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (None, None),
        (Bounds(0.1, 0.3, 0.95), True),
        (Bounds(0.21, 0.3, 0.95), False),
        (Bounds(None, 0.19, 0.95), False),
        (Bounds(None, 0.21, 0.95), True),
        (Bounds(0.1, None, 0.95), True),
    ],
)
def test_covers__open_and_closed_bounds__are_understood(bounds: Bounds | None, expected: bool | None) -> None:
    assert calibration._covers(bounds, 0.2) is expected


@pytest.mark.django_db
def test_calibrate_pipeline__few_worlds__prints_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    call_command(
        "calibrate_pipeline", "--worlds", "2", "--profiles", "120", "--seed", "4", "--lower", "0", "--upper", "1",
        "--json", str(file),
    )  # fmt: skip
    figures = json.loads(file.read_text())
    assert (figures["worlds"], figures["seed"], figures["profiles"]) == (2, 4, 120)
    assert len(figures["shares"]) == 12
    assert "coverage of the lift" in capsys.readouterr().out


@pytest.mark.django_db
def test_calibrate_pipeline__coverage_out_of_bounds__fails() -> None:
    with pytest.raises(CommandError, match=r"Outside 0\.0–0\.1"):
        call_command("calibrate_pipeline", "--worlds", "2", "--profiles", "120", "--lower", "0", "--upper", "0.1")


def test_calibrate_pipeline__too_few_worlds__is_refused() -> None:
    with pytest.raises(CommandError, match="at least 2"):
        call_command("calibrate_pipeline", "--worlds", "1")
