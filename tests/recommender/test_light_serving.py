"""Serving needs numpy only: every algorithm scores and explains in a process in which scipy cannot be imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

from recommender.registry import algorithms
from tests.recommender.algorithms.conftest import EXTRAS, social_world, world

SCORE = """
import os, sys
from pathlib import Path
for name in ("scipy", "pandas", "sklearn", "implicit", "torch"):
    sys.modules[name] = None
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings_test"
import numpy as np
from recommender.algorithms.base import Profile, top_k
from recommender.registry import algorithms
profile = Profile(np.array([0, 3, 4, 5], dtype=np.int32), np.array([5, 5, 4, 5], dtype=np.float32))
for path in sorted(Path(sys.argv[1]).iterdir()):
    key = path.stem
    with np.load(path, allow_pickle=False) as file:
        arrays = {name.replace("|", "/"): file[name] for name in file.files}
    algorithm = algorithms()[key]()
    best = int(top_k(algorithm.score(arrays, profile), 1)[0])
    print(key, best, len(algorithm.explain(arrays, profile, best)) > 0)
"""


def test_score_and_explain__without_scipy__all_algorithms(tmp_path: Path) -> None:
    trained = {
        key: algorithm
        for key, algorithm in algorithms().items()
        if all(importlib.util.find_spec(module) for module in EXTRAS.get(key, ()))
    }
    for key, algorithm in trained.items():
        dataset = social_world() if algorithm.capabilities.people else world()
        arrays = algorithm().fit(dataset, rng=np.random.default_rng(0))
        np.savez(
            tmp_path / f"{key}.npz", allow_pickle=False, **{name.replace("/", "|"): a for name, a in arrays.items()}
        )
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stderr == ""
    explained = {line.split()[0]: line.split()[2] == "True" for line in done.stdout.splitlines()}
    assert explained == {key: algorithm.capabilities.explains for key, algorithm in trained.items()}
