from __future__ import annotations

import pytest

from experiments.wire.decide import Decide
from tests.experiments.wire.client import OpenGate


@pytest.fixture
def gate() -> OpenGate:
    return OpenGate()


@pytest.fixture
def decide(gate: OpenGate) -> Decide:
    return Decide(gate)
