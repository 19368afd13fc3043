"""The client for notebooks: the same frames over HTTP and from inside, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import pytest
from pytest_django.live_server_helper import LiveServer

from experiments.client import Client
from experiments.errors import CannotRead
from experiments.models import Experiment
from experiments.reports import SeriesPoint
from tests.experiments.reports import make_comparison, make_metric, make_report
from tests.experiments.views.test_results import store
from tests.factories.experiments import T0, make_experiment
from tests.webapi.conftest import make_api

pytestmark = pytest.mark.django_db(transaction=True)


def _stored() -> str:
    series = (SeriesPoint("2026-03-02", 10, 11, 0.1, None, 0.3), SeriesPoint("2026-03-03", 20, 21, None, None, None))
    comparison = make_comparison(series=series)
    return store(make_report(metrics=(make_metric(comparisons=(comparison,)),))).key


FRAMES: dict[str, Callable[[Client, str], pd.DataFrame]] = {
    "results": lambda client, key: client.results(key),
    "aggregates": lambda client, key: client.aggregates(key),
    "series": lambda client, key: client.series(key),
    "experiments": lambda client, _key: client.experiments(status="running"),
}


def test_client__over_http_and_inside__gives_the_same_frames(live_server: LiveServer) -> None:
    key = _stored()
    one = make_experiment(status="running")
    more = [{"key": f"e-{n}", "created_at": T0 + timedelta(seconds=n)} for n in range(60)]  # more than one page
    Experiment.objects.bulk_create(
        Experiment(name="More", status="running", started_at=one.started_at, **fields) for fields in more
    )
    outside, inside = Client(live_server.url, key=make_api(scope="read").secret), Client.inside()
    for name, frame in FRAMES.items():
        there, here = frame(outside, key), frame(inside, key)
        assert len(there) > 0, name
        pd.testing.assert_frame_equal(there, here)
    assert outside.report(key) == inside.report(key)
    assert repr(inside) == "Client(inside)"


def test_client__gaps__are_missing_and_typed(live_server: LiveServer) -> None:
    series = Client.inside().series(_stored())
    assert str(series["lift_lower"].dtype) == "Float64"
    assert series["lift_lower"].isna().all()
    assert str(series["day"].dtype).startswith("datetime64")
    assert series["n_arm"].tolist() == [11, 21]


def test_client__before_the_first_refresh__says_so(live_server: LiveServer) -> None:
    key = make_experiment().key
    api = make_api(scope="read")
    for client in (Client(live_server.url, key=api.secret), Client.inside()):
        with pytest.raises(CannotRead, match=r"no results yet\. Refresh it"):
            client.results(key)
        assert client.report(key) is None


def test_client__wrong_key_or_address__says_what_to_do(live_server: LiveServer) -> None:
    with pytest.raises(CannotRead, match="Authorization: Bearer KEY"):
        Client(live_server.url, key="hk_wrong").experiments()
    with pytest.raises(CannotRead, match="answers 404"):
        Client(f"{live_server.url}/elsewhere", key="hk_wrong").experiments()
    with pytest.raises(CannotRead, match="does not answer"):
        Client("http://127.0.0.1:1", key="hk_wrong").experiments()
    with pytest.raises(CannotRead, match=r"https://holdout\.example"):
        Client("holdout.example", key="hk_wrong")
