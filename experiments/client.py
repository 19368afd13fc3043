"""Results for notebooks: pandas frames over the management API, or from inside the project.

>>> Client("https://holdout.example", key="hk_client_key")
Client('https://holdout.example')
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from experiments.errors import CannotRead

if TYPE_CHECKING:
    import pandas as pd

TYPES: Final = {"text": "string", "integer": "Int64", "number": "Float64"}
"""Columns with gaps keep their type: a missing number is `pandas.NA`, never 0."""
COLUMNS: Final = (
    "key", "name", "status", "unit_type", "owner", "is_demo", "created_at", "started_at", "stopped_at", "decided_at"
)  # fmt: skip
SECONDS: Final = 60


class Answers(Protocol):
    """Where the answers come from."""

    def experiments(self, filters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """Rows with at least `COLUMNS`."""

    def table(self, key: str, name: str) -> Mapping[str, Any]:
        """`columns` (name → kind) and `rows`."""

    def report(self, key: str) -> Mapping[str, Any] | None:
        """The stored report as JSON; None before the first refresh."""


class Client:
    """Reads with a key of the scope `read`; `Client.inside()` needs no key and no server. Raises `CannotRead`."""

    def __init__(self, url: str, *, key: str) -> None:
        self._name = repr(url)
        self._answers: Answers = _Server(url.rstrip("/"), key)

    @classmethod
    def inside(cls) -> Client:
        """A client in a process that has the project's settings: `manage.py shell`, or a notebook beside it."""
        client = cls.__new__(cls)
        client._name, client._answers = "inside", _Inside()
        return client

    def __repr__(self) -> str:
        return f"Client({self._name})"

    def experiments(self, **filters: str) -> pd.DataFrame:
        """One row for each experiment; filters are the API's: `status="running"`, `search="hero"`."""
        import pandas as pd

        frame = pd.DataFrame.from_records(list(self._answers.experiments(filters)), columns=list(COLUMNS))
        moments = {name: pd.to_datetime(frame[name], utc=True) for name in COLUMNS if name.endswith("_at")}
        return frame.assign(**moments)

    def results(self, key: str) -> pd.DataFrame:
        """One row per metric and arm: effects, intervals and p-values against the control."""
        return self._frame(key, "results")

    def aggregates(self, key: str) -> pd.DataFrame:
        """One row per metric and arm: people, totals and means."""
        return self._frame(key, "aggregates")

    def series(self, key: str) -> pd.DataFrame:
        """One row per metric, arm and day: the lift with its always-valid interval; `day` is a date."""
        import pandas as pd

        frame = self._frame(key, "series")
        return frame.assign(day=pd.to_datetime(frame["day"]))

    def report(self, key: str) -> Mapping[str, Any] | None:
        """The whole stored report, with its verdict and health; None before the first refresh."""
        return self._answers.report(key)

    def _frame(self, key: str, name: str) -> pd.DataFrame:
        import pandas as pd

        table = self._answers.table(key, name)
        frame = pd.DataFrame.from_records([tuple(row) for row in table["rows"]], columns=list(table["columns"]))
        return frame.astype({column: TYPES[kind] for column, kind in table["columns"].items()})


class _Server:
    """The management API of a running server."""

    def __init__(self, url: str, key: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise CannotRead(f"{url!r} is no server's address: write one like https://holdout.example")
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}

    def experiments(self, filters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        parameters: dict[str, str] | None = dict(filters)
        while parameters is not None:
            page = self._get("experiments/", parameters)
            yield from page["results"]
            rest = page["next"]
            parameters = None if rest is None else dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(rest).query))

    def table(self, key: str, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._get(f"experiments/{urllib.parse.quote(key, safe='')}/tables/{name}/")
        return found

    def report(self, key: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = self._get(f"experiments/{urllib.parse.quote(key, safe='')}/results/")
        report: Mapping[str, Any] | None = found["report"]
        return report

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        address = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters or {})}"
        request = urllib.request.Request(address, headers=self._headers)  # noqa: S310 - http or https, see above
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - http or https, see above
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise CannotRead(_said(error)) from error
        except OSError as error:
            raise CannotRead(f"{self._url} does not answer: {error}.") from error


class _Inside:
    """The database of the project itself; nothing of it is loaded before it is asked."""

    def experiments(self, filters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        from django.db.models import F

        from experiments.selectors.records import experiments

        rows = experiments(**filters).order_by("-created_at", "-pk")
        own = [name for name in COLUMNS if name != "owner"]
        for row in rows.values(*own, owner_name=F("owner__username")).iterator():
            yield {**row, "owner": row["owner_name"]}

    def table(self, key: str, name: str) -> Mapping[str, Any]:
        from experiments.selectors import get_report
        from experiments.tables import table_of

        report = get_report(experiment_key=key)
        if report is None:
            raise CannotRead(f"The experiment {key!r} has no results yet. Refresh it.")
        table = table_of(report, name)
        return {"columns": table.columns, "rows": table.rows}

    def report(self, key: str) -> Mapping[str, Any] | None:
        from experiments.reports import encode_report
        from experiments.selectors import get_report

        report = get_report(experiment_key=key)
        if report is None:
            return None
        found: Mapping[str, Any] = json.loads(json.dumps(encode_report(report)))  # lists, as a server gives them
        return found


def _said(error: urllib.error.HTTPError) -> str:
    """What the problem document says, and what to do; or the bare status of something that is not our server."""
    try:
        problem = json.load(error)
        return f"{problem['detail']} {problem['remedy']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.url} answers {error.code} {error.reason}."
