"""A real server of its own with experiments and a key, and the npm clients in a folder of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.endtoend.stack import ROOT, Stack, postgres_database, until

HERE = Path(__file__).parent
LONGEST = 600  # seconds: 300,000 evaluations are 20 s of CPU, which a busy machine gives slowly
# Chromium without a window calls itself HeadlessChrome, which is a bot's name: bots are in no experiment.
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
SET_UP = """
import json
from datetime import timedelta
from django.utils import timezone
from experiments.services.design import ArmSpec, Design, MetricSpec, Requirement, create_experiment, create_layer
from experiments.services.holdout import set_holdout
from experiments.services.lifecycle import start
from marketing.choices import SourceKind
from marketing.services.setup import prepare
from marketing.services.sources import ensure_source, issue_key
at = timezone.now() - timedelta(days=1)
prepare(at=at)
create_layer(key="home", name="Home")
set_holdout(share=0.1, at=at, unit_type="user_id", message="")
def make(key, unit_type, control, treatment, **more):
    arms = (
        ArmSpec("control", "Control", 0.5, is_control=True, payload=control),
        ArmSpec("treatment", "Treatment", 0.5, payload=treatment),
    )
    more |= {"arms": arms, "metrics": (MetricSpec(key="conversion", role="primary"),), "planned_size": 100}
    create_experiment(design=Design(key=key, name=key, unit_type=unit_type, **more), at=at)
    start(experiment_key=key, at=at)
rule = {"attribute": "country", "op": "in", "value": ["DE", "AT"]}
make("buy-button", "user_id", {"color": "blue"}, {"color": "green"})
make("buy-button-visitors", "anonymous", {}, {"word": "now"})
make("ranked", "user_id", 1.0, 2.5, layer_key="home", layer_lower=0.1, layer_upper=0.8, coverage=0.8, targeting=rule)
make("after-button", "user_id", {"step": 1}, {"step": 2}, requires=(Requirement("buy-button", "treatment"),))
source = ensure_source(name="clients", kind=SourceKind.SERVER, at=at)
print(issue_key(source=source, scopes=["write", "decide"], at=at)[1])
"""
ASKED = ("buy-button", "ranked", "after-button")
"""What clients are asked for: a plain experiment, one with layer, coverage and rule, one that requires an arm."""
ASSIGN = """
import json, sys
from pathlib import Path
from django.utils import timezone
from experiments.services.assignment import assign_many
ids = json.loads(Path({folder!r}, "ids.json").read_text())
arms = {{}}
for key in {keys!r}:
    columns = {{"country": ["DE"] * len(ids)}}
    got = assign_many(experiment_key=key, unit_type="user_id", unit_ids=ids, attributes=columns, at=timezone.now())
    arms[key] = [got[i].arm_key for i in range(len(ids))]
Path({folder!r}, "arms.json").write_text(json.dumps(arms))
"""


@dataclass(frozen=True)
class Server:
    """A running server, its installation and a key that may write and decide."""

    stack: Stack
    key: str

    @property
    def url(self) -> str:
        return self.stack.url

    def arms(self, ids: list[str], folder: Path) -> dict[str, list[str | None]]:
        """Return the arm of each unit in each experiment, by `assign_many` inside the installation."""
        (folder / "ids.json").write_text(json.dumps(ids))
        self.stack.run(ASSIGN.format(folder=str(folder), keys=ASKED))
        arms: dict[str, list[str | None]] = json.loads((folder / "arms.json").read_text())
        return arms

    def events(self) -> list[tuple[str, str | None]]:
        """Drain the spool and return (event, order id) of everything stored, oldest first."""
        self.stack.manage("drain")
        out = self.stack.run(
            "import json\nfrom marketing.models import Event\n"
            "print(json.dumps(list(Event.objects.order_by('pk').values_list('type__name', 'order_id'))))"
        )
        return [(name, order_id) for name, order_id in json.loads(out)]

    def exposures(self) -> list[tuple[str, str, str]]:
        """Drain the spool and return (experiment, unit type, arm) of every exposure."""
        self.stack.manage("drain")
        out = self.stack.run(
            "import json\nfrom experiments.models import Exposure\n"
            "print(json.dumps(list(Exposure.objects.order_by('pk').values_list("
            "'experiment__key', 'unit_type', 'arm__key'))))"
        )
        return [(experiment, unit_type, arm) for experiment, unit_type, arm in json.loads(out)]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A web server process on the kind of database that the suite runs on."""
    url, drop = "", None
    if settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        url, drop = postgres_database()
    stack = Stack(folder=tmp_path_factory.mktemp("clients"), database_url=url)
    stack.manage("migrate", "-v", "0")
    key = stack.run(SET_UP).strip()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(stack.port)]
    command += ["--no-ws", "--blocking-threads", "4", "--log-level", "warning", "config.wsgi:application"]
    with stack.log.open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=stack.environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        until(stack.answers, what=f"answer from {stack.url}; the log is {stack.log}")
        yield Server(stack, key)
    finally:
        process.terminate()
        process.wait(timeout=30)
        if drop is not None:
            drop()


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm clients of package.json, as the lock file has them."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, folder / name)
    # Not `npm ci`: it demands native packages of every platform in the lock file, which some mirrors do not have.
    command = ["npm", "install", "--no-save", "--omit=optional", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def run_python(code: str) -> Any:
    """Run Python in a process of its own, as a shop would; return its last printed line as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run_node(code: str, folder: Path) -> Any:
    """Run a module of JavaScript; return its last printed line as JSON."""
    (folder / "example.mjs").write_text(code)
    done = subprocess.run(
        ["node", "example.mjs"], cwd=folder, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
