"""The decide path against the same server's raw hello: `python benchmarks/decide.py` (needs wrk).

Target: one OFREP decision ≥ 0.55 × raw hello in the same run, by CPU and by rate, granian with 2 workers; p99 ≤ 10 ms
on an idle machine. Rounds alternate, the best of each is compared. *hello, same shape* reads the same body and sends as
long an answer with as many headers: what is left between it and one decision is ours, the rest is the server's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.load import HELLO, HELLO_POST, Load, environment, manage, serve, wrk

ROUNDS = 3
SET_UP = """
from datetime import timedelta
from django.utils import timezone
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
from experiments.services.lifecycle import start
from marketing.choices import SourceKind
from marketing.services.setup import prepare
from marketing.services.sources import ensure_source, issue_key
at = timezone.now() - timedelta(days=1)
prepare(at=at)
for number in range(5):
    arms = (
        ArmSpec("control", "Control", 0.5, is_control=True, payload={"color": "blue"}),
        ArmSpec("treatment", "Treatment", 0.5, payload={"color": "green"}),
    )
    more = {"arms": arms, "metrics": (MetricSpec(key="conversion", role="primary"),), "planned_size": 100}
    key = f"flag-{number}"
    create_experiment(design=Design(key=key, name=key, unit_type="user_id", **more), at=at)
    start(experiment_key=key, at=at)
print(issue_key(source=ensure_source(name="load", kind=SourceKind.SERVER, at=at), scopes=["decide"], at=at)[1])
"""
SCRIPT = """
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer %s"
wrk.headers["Content-Type"] = "application/json"
local number = 0
request = function()
  number = number + 1
  local context = '{"context":{"targetingKey":"user-' .. number .. '","consent":true,"country":"DE"}}'
  return wrk.format(nil, "%s", nil, context)
end
"""


def best(loads: list[Load]) -> Load:
    return min(loads, key=lambda load: load.cpu)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="holdout-benchmark-") as name:
        folder = Path(name)
        (folder / "hello.py").write_text(HELLO)
        (folder / "hello_post.py").write_text(HELLO_POST)
        variables = environment(folder)
        manage(variables, "migrate", "-v", "0")
        key = manage(variables, "shell", "--no-imports", "-v", "0", "-c", SET_UP).strip()
        one, five = folder / "one.lua", folder / "five.lua"
        one.write_text(SCRIPT % (key, "/ofrep/v1/evaluate/flags/flag-0"))
        five.write_text(SCRIPT % (key, "/ofrep/v1/evaluate/flags"))
        with (
            serve(variables, "hello:application") as hello,
            serve(variables, "hello_post:application") as alike,
            serve(variables, "config.wsgi:application") as holdout,
        ):
            labels = ("raw hello", "hello, same shape", "one decision", "five decisions", "payload")
            runs: dict[str, list[Load]] = {label: [] for label in labels}
            for _ in range(ROUNDS):
                runs["raw hello"].append(wrk(hello[0], hello[1]))
                runs["hello, same shape"].append(wrk(alike[0], alike[1], script=one))
                runs["one decision"].append(wrk(holdout[0], holdout[1], script=one))
                runs["five decisions"].append(wrk(holdout[0], holdout[1], script=five))
                runs["payload"].append(wrk(f"{holdout[0]}/api/features/{key}", holdout[1]))
        hello_load = best(runs["raw hello"])
        for label, loads in runs.items():
            load = best(loads)
            by_cpu, by_rate = hello_load.cpu / load.cpu, load.rate / hello_load.rate
            print(f"{label:18s} {load}  {by_cpu:4.2f} × hello by CPU, {by_rate:4.2f} × by rate")


if __name__ == "__main__":
    main()
