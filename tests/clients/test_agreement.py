"""The real clients and `assign_many` on 100,000 units, ids of many scripts and of emoji among them.

A layer, a holdout, coverage, a rule and a prerequisite among the experiments; on the kind of database of the suite.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.clients.conftest import ASKED, Server, run_node, run_python

pytestmark = pytest.mark.worker
UNITS = 100_000
ASKED_ONE_BY_ONE = 200
SCRIPTS = ["abcdefgh0123456789-_", "äöüßéñç", "абвгдеж", "日本語漢字仮名", "🙂🚀👩🏽‍🚀🇩🇪", "עבריתא", "العربية", "ไทย"]
GROWTHBOOK = """
import json
from pathlib import Path
from growthbook import GrowthBook
gb = GrowthBook(api_host={url!r}, client_key={key!r})
gb.load_features()
arms = {{key: [] for key in {keys!r}}}
for unit_id in json.loads(Path({folder!r}, "ids.json").read_text()):
    gb.set_attributes({{"id": unit_id, "country": "DE", "consent": True}})
    for key in arms:
        result = gb.eval_feature(key).experimentResult
        arms[key].append(result.key if result is not None else None)
gb.destroy()
Path({folder!r}, "theirs.json").write_text(json.dumps(arms))
print(0)
"""
GROWTHBOOK_JS = """
import {{ readFileSync, writeFileSync }} from "node:fs";
import {{ GrowthBook }} from "@growthbook/growthbook";
const gb = new GrowthBook({{ apiHost: {url}, clientKey: {key} }});
await gb.init();
const arms = Object.fromEntries({keys}.map((key) => [key, []]));
for (const id of JSON.parse(readFileSync({folder} + "/ids.json", "utf8"))) {{
  gb.setAttributes({{ id, country: "DE", consent: true }});
  for (const key of Object.keys(arms)) arms[key].push(gb.evalFeature(key).experimentResult?.key ?? null);
}}
writeFileSync({folder} + "/theirs.json", JSON.stringify(arms));
console.log(0);
process.exit(0);
"""
OFREP = """
import json
from pathlib import Path
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
api.set_provider(OFREPProvider({url!r}, headers_factory=lambda: {{"X-API-Key": {key!r}}}))
client = api.get_client()
arms = {{key: [] for key in {keys!r}}}
for unit_id in json.loads(Path({folder!r}, "ids.json").read_text()):
    context = EvaluationContext(unit_id, {{"country": "DE", "consent": True}})
    arms["buy-button"].append(client.get_object_details("buy-button", {{}}, context).variant)
    arms["after-button"].append(client.get_object_details("after-button", {{}}, context).variant)
    arms["ranked"].append(client.get_float_details("ranked", 0.0, context).variant)
Path({folder!r}, "theirs.json").write_text(json.dumps(arms).replace('"code-default"', "null"))
print(0)
"""


def units(amount: int) -> list[str]:
    chance = random.Random(11)
    found: dict[str, None] = {}
    while len(found) < amount:
        found["".join(chance.choices(chance.choice(SCRIPTS), k=chance.randint(3, 14)))] = None
    return list(found)


def check(ours: dict[str, list[str | None]], folder: Path) -> None:
    theirs = json.loads((folder / "theirs.json").read_text())
    assert set(theirs) == set(ASKED)
    for key, arms in ours.items():
        assert theirs[key] == arms
        assert set(arms) == {"control", "treatment", None}
    # Whoever is served the other arm, or none, of what it requires is in neither arm.
    parents = zip(ours["buy-button"], ours["after-button"], strict=True)
    assert {parent for parent, child in parents if child is not None} == {"treatment"}


def test_growthbook_python__100_000_units__agree(server: Server, tmp_path: Path) -> None:
    ours = server.arms(units(UNITS), tmp_path)
    run_python(GROWTHBOOK.format(url=server.url, key=server.key, folder=str(tmp_path), keys=ASKED))
    check(ours, tmp_path)


@pytest.mark.node
def test_growthbook_js__100_000_units__agree(server: Server, node_folder: Path, tmp_path: Path) -> None:
    ours = server.arms(units(UNITS), tmp_path)
    values = {name: json.dumps(value) for name, value in {"url": server.url, "key": server.key}.items()}
    run_node(GROWTHBOOK_JS.format(**values, folder=json.dumps(str(tmp_path)), keys=json.dumps(ASKED)), node_folder)
    check(ours, tmp_path)


def test_openfeature_python__asked_one_by_one__agree(server: Server, tmp_path: Path) -> None:
    ours = server.arms(units(ASKED_ONE_BY_ONE), tmp_path)
    run_python(OFREP.format(url=server.url, key=server.key, folder=str(tmp_path), keys=ASKED))
    check(ours, tmp_path)
