"""How many queries an answer takes, however many rows it shows."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketing.services.segments import refresh_segment
from tests.factories.campaigns import make_campaign, make_catalogue
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, make_profile, make_segment
from tests.webapi.conftest import Api, make_api

pytestmark = pytest.mark.django_db
KEY = 1
PERMISSIONS = 2
BUDGETS = {
    "experiments/": 1,
    "experiments/one/": 13,
    "experiments/one/results/": 3,
    "experiments/one/snapshots/": 2,
    "metrics/": 1,
    "holdouts/": 1,
    "changes/experiments/": 1,
    "items/": 1,
    "strategies/": 1,
    "strategies/popularity/models/": 2,
    "changes/recommender/": 1,
    "segments/": 1,
    "segments/all/members/": 2,
    "profiles/": 1,
    "profiles/PROFILE/": 7,
    "profiles/PROFILE/events/": 2,
    "campaigns/": 1,
    "campaigns/one/": 2,
    "sources/program/keys/": 2,
    "changes/marketing/": 1,
}


def _grow() -> None:
    make_experiment()
    make_profile()
    make_campaign(status="draft")
    make_segment({"all": []})


def test_answers__with_few_and_with_many_rows__stay_within_their_budgets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.selectors.config.TTL_SECONDS", 1e9)
    make_catalogue()
    make_experiment(key="one", status="decided")
    make_campaign(status="running", slug="one")
    profile = make_profile()
    segment = make_segment({"all": []}, slug="all")
    api = make_api(role="operator")
    api.get("experiments/")  # notes the use of the key
    counts: list[dict[str, int]] = []
    for _ in range(2):
        refresh_segment(segment_id=segment.pk, at=NOW)
        counts.append({path: _queries(api, path.replace("PROFILE", str(profile.public_id))) for path in BUDGETS})
        for _ in range(3):
            _grow()
    assert counts[0] == counts[1]
    assert {path: n for path, n in counts[0].items() if n > BUDGETS[path] + KEY + PERMISSIONS} == {}


def _queries(api: Api, path: str) -> int:
    api.get(path)  # what a process remembers between requests is read
    with CaptureQueriesContext(connection) as queries:
        assert api.get(path).status_code == 200
    return len([query for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))])
