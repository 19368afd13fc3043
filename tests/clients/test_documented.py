"""The lines of docs/clients.md, run against a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients.conftest import Server, run_node, run_python
from tests.endtoend.stack import ROOT

pytestmark = pytest.mark.worker
BLOCKS = re.findall(r"```(python|js)\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), flags=re.DOTALL)
PAYLOADS = {"control": {"color": "blue"}, "treatment": {"color": "green"}, None: {"color": "gray"}}


def examples(language: str, *, decide: bool) -> list[str]:
    """The blocks of one language that ask for an arm, or those that send events."""
    return [text for kind, text in BLOCKS if kind == language and ("value = " in text) is decide]


def filled(text: str, server: Server) -> str:
    return text.replace("https://holdout.example", server.url).replace("hk_client_key", server.key)


def test_document__every_client__is_there_in_at_most_six_lines() -> None:
    assert len(examples("python", decide=True)) == 2
    assert len(examples("js", decide=True)) == 3
    assert len(examples("python", decide=False)) == 2
    assert len(examples("js", decide=False)) == 2
    assert max(len(text.splitlines()) for _, text in BLOCKS) <= 5


@pytest.mark.parametrize("number", range(2))
def test_python__asking_for_an_arm__gets_what_assign_gives(server: Server, number: int, tmp_path: Path) -> None:
    (arm,) = server.arms(["u1"], tmp_path)["buy-button"]
    code = filled(examples("python", decide=True)[number], server) + "\nimport json; print(json.dumps(value))"
    assert run_python(code) == PAYLOADS[arm]


@pytest.mark.node
@pytest.mark.parametrize("number", range(3))
def test_node__asking_for_an_arm__gets_what_assign_gives(
    server: Server, node_folder: Path, number: int, tmp_path: Path
) -> None:
    (arm,) = server.arms(["u1"], tmp_path)["buy-button"]
    code = (
        filled(examples("js", decide=True)[number], server) + "\nconsole.log(JSON.stringify(value)); process.exit(0);"
    )
    assert run_node(code, node_folder) == PAYLOADS[arm]


def test_notebook__as_documented__gives_frames(server: Server) -> None:
    server.stack.manage("createsuperuser", "--noinput", "--username", "ana", "--email", "ana@example.org")
    issue = ("issue_key", "notebook", "--scope", "read", "--acts-for", "ana")
    secret = server.stack.manage(*issue).strip().splitlines()[-1]
    server.stack.manage("refresh_experiments", "buy-button")
    (text,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), flags=re.DOTALL)
    code = filled(text.replace("hk_read_key", secret), server)
    found = run_python(f"{code}\nimport json; print(json.dumps(holdout.results('buy-button')['arm'].tolist()))")
    assert found == ["treatment"]


def order_of(text: str) -> str:
    found = re.search(r"A-\d", text)
    assert found is not None
    return found.group(0)


def check_stored(server: Server, text: str) -> None:
    """The order is stored once and the exposure is one of the signed-in unit."""
    assert server.events().count(("Order Completed", order_of(text))) == 1
    assert ("buy-button", "user_id", "treatment") in server.exposures()


@pytest.mark.parametrize("number", range(2))
def test_python__sending_events__stores_them_once(server: Server, number: int) -> None:
    text = examples("python", decide=False)[number]
    run_python(filled(text, server) + "\nprint(0)")
    check_stored(server, text)


@pytest.mark.node
@pytest.mark.parametrize("number", range(2))
def test_node__sending_events__stores_them_once(server: Server, node_folder: Path, number: int) -> None:
    text = examples("js", decide=False)[number]
    run_node(filled(text, server) + "\nconsole.log(JSON.stringify(0)); process.exit(0);", node_folder)
    check_stored(server, text)


def test_issue_key__as_documented__opens_the_server(server: Server) -> None:
    secret = server.stack.manage("issue_key", "shop", "--kind", "browser", "--scope", "write", "--scope", "decide")
    code = filled(examples("python", decide=True)[1].replace("hk_client_key", secret.strip()), server)
    assert json.dumps(run_python(code + "\nimport json; print(json.dumps(value))")) != "null"
