"""Deep models, trained by PyTorch (`requirements-deep.txt`) and served by numpy: SASRec, and a deeper two-tower.

Only `fit` needs torch. What was learned is stored as arrays like any other model, and the forward pass of one person is
written out below, so that a web process loads neither torch nor code from a model's file.

SASRec: Kang & McAuley 2018, "Self-attentive sequential recommendation", with the softmax over sampled items and the
logQ correction in place of one negative (Klenitskiy & Vasilev 2023 for why). Two-tower: Yi et al. 2019 (`towers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recommender.algorithms.base import Capabilities, Parameters, rows_of
from recommender.algorithms.factors import FACTORS, KNOWN, FactorModel
from recommender.algorithms.index import EXACT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Profile
    from recommender.dataset import Csr, Dataset

EPSILON = 1e-6


def _torch(key: str) -> Any:
    try:
        import torch
    except ImportError:
        raise ValueError(f"{key} needs PyTorch to be trained: pip install -r requirements-deep.txt") from None
    return torch


class Deep(FactorModel):
    """Batches of (history, answer) with the softmax over the answers of the batch, corrected by logQ."""

    def people(self, arrays: Arrays, profiles: Csr) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """One by one."""
        found = [self.person(arrays, profile) for profile in rows_of(profiles)]
        nobody = np.zeros(arrays[FACTORS].shape[1], dtype=np.float32)
        vectors = np.stack([nobody if vector is None else vector for vector in found])
        return vectors, np.array([vector is not None for vector in found])

    def examples(self, dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For every event but a person's first: the items before it (padded in front with M), and itself."""
        positives, length = dataset.positives(), self.count("max_history")
        rows = np.flatnonzero(np.append(False, positives.users[1:] == positives.users[:-1]))
        starts = np.searchsorted(positives.users, positives.users[rows])
        places = rows[:, None] - np.arange(length, 0, -1)[None, :]
        inside = places >= starts[:, None]
        history = np.where(inside, positives.items[np.maximum(places, 0)], dataset.n_items)
        return history.astype(np.int64), positives.items[rows].astype(np.int64)

    def _train(self, network: Any, dataset: Dataset, seed: int) -> None:
        """Adam; `network(histories)` gives people, `network.items()` the vectors of all items."""
        torch = _torch(self.key)
        history, answers = (torch.from_numpy(array) for array in self.examples(dataset))
        drawn = torch.bincount(answers, minlength=dataset.n_items).float() / max(len(answers), 1)
        log_q = torch.log(drawn.clamp_min(1e-12))
        optimizer = torch.optim.Adam(network.parameters(), lr=self.number("step"), weight_decay=self.number("decay"))
        generator = torch.Generator().manual_seed(seed)
        network.train()
        for _epoch in range(self.count("epochs")):
            order = torch.randperm(len(answers), generator=generator)
            for rows in order.split(self.count("batch")):
                right = answers[rows]
                logits = network(history[rows]) @ network.items()[right].T - log_q[right]
                same = right[:, None] == right[None, :]
                same.fill_diagonal_(False)  # another person's equal answer is no wrong one
                loss = torch.nn.functional.cross_entropy(logits.masked_fill(same, -1e9), torch.arange(len(rows)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        network.eval()

    def _stored(self, network: Any, dataset: Dataset) -> Arrays:
        torch = _torch(self.key)
        with torch.no_grad():
            factors = network.items()[: dataset.n_items].numpy().astype(np.float32)
        chosen = np.bincount(dataset.positives().items, minlength=dataset.n_items) > 0
        arrays: Arrays = {FACTORS: np.where(chosen[:, None], factors, np.float32(0)), KNOWN: chosen}
        for name, value in network.state_dict().items():
            arrays[f"net/{name}"] = value.numpy().astype(np.float32)
        return arrays


class SasRec(Deep):
    """Self-attention over the last items: one head, `blocks` blocks, positions counted from the newest."""

    key: ClassVar[str] = "sasrec"
    capabilities: ClassVar[Capabilities] = Capabilities()
    defaults: ClassVar[Parameters] = {
        "factors": 32,
        "blocks": 2,
        "max_history": 30,
        "dropout": 0.2,
        "epochs": 30,
        "batch": 256,
        "step": 0.003,
        "decay": 0.0,
        "index": EXACT,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Trains in one thread from a seed: the same arrays again."""
        self.require_interactions(dataset)
        torch = _torch(self.key)
        seed = int(rng.integers(2**31))
        with _repeatable(torch, seed):
            network = _attention(
                torch,
                dataset.n_items,
                factors=self.count("factors"),
                blocks=self.count("blocks"),
                length=self.count("max_history"),
                dropout=self.number("dropout"),
            )
            self._train(network, dataset, seed)
        return self.with_index(self._stored(network, dataset), dataset, rng=rng)

    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """The forward pass in numpy: the last position looks at all others."""
        items = profile.items[-self.count("max_history") :]
        items = items[arrays[KNOWN][items]]
        if items.size == 0:
            return None
        n = items.size
        x = arrays["net/embedding.weight"][items] + arrays["net/position.weight"][:n][::-1]
        mask = np.triu(np.full((n, n), -np.inf, dtype=np.float32), 1)
        for block in range(self.count("blocks")):
            name = f"net/blocks.{block}"
            q = _normed(arrays, f"{name}.before", x)
            logits = (_linear(arrays, f"{name}.query", q) @ _linear(arrays, f"{name}.key", x).T) / np.sqrt(x.shape[1])
            odds = np.exp(logits + mask - (logits + mask).max(axis=1, keepdims=True))
            x = q + (odds / odds.sum(axis=1, keepdims=True)) @ _linear(arrays, f"{name}.value", x)
            y = _normed(arrays, f"{name}.after", x)
            x = y + _linear(arrays, f"{name}.down", np.maximum(_linear(arrays, f"{name}.up", y), 0.0))
        vector: NDArray[np.float32] = _normed(arrays, "net/last", x[-1:])[0].astype(np.float32)
        return vector


class TorchTwoTower(Deep):
    """Mean of the history's embeddings through one hidden layer; items have embeddings of their own."""

    key: ClassVar[str] = "two-tower-torch"
    capabilities: ClassVar[Capabilities] = Capabilities()
    defaults: ClassVar[Parameters] = {
        "factors": 32,
        "hidden": 64,
        "max_history": 50,
        "epochs": 15,
        "batch": 256,
        "step": 0.005,
        "decay": 1e-6,
        "index": EXACT,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Trains in one thread from a seed: the same arrays again."""
        self.require_interactions(dataset)
        torch = _torch(self.key)
        seed = int(rng.integers(2**31))
        with _repeatable(torch, seed):
            network = _tower(torch, dataset.n_items, self.count("factors"), self.count("hidden"))
            self._train(network, dataset, seed)
        return self.with_index(self._stored(network, dataset), dataset, rng=rng)

    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """Mean, hidden layer, output, in numpy."""
        items = profile.items[-self.count("max_history") :]
        items = items[arrays[KNOWN][items]]
        if items.size == 0:
            return None
        mean = arrays["net/history.weight"][items].mean(axis=0, keepdims=True)
        hidden = np.maximum(_linear(arrays, "net/up", mean), 0.0)
        vector: NDArray[np.float32] = (mean + _linear(arrays, "net/down", hidden))[0].astype(np.float32)
        return vector


@contextmanager
def _repeatable(torch: Any, seed: int) -> Iterator[None]:
    """One thread and a seed of its own; what the process had before comes back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _linear(arrays: Arrays, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]
    return result


def _normed(arrays: Arrays, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = x - x.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
    result: NDArray[np.float32] = scaled * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]
    return result


def _tower(torch: Any, n_items: int, factors: int, hidden: int) -> Any:
    nn = torch.nn

    class Tower(nn.Module):  # type: ignore[misc, name-defined]  # torch is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.history = nn.Embedding(n_items + 1, factors, padding_idx=n_items)
            self.item = nn.Embedding(n_items, factors)
            self.up, self.down = nn.Linear(factors, hidden), nn.Linear(hidden, factors)
            for table in (self.history, self.item):
                nn.init.normal_(table.weight, std=0.05)
            with torch.no_grad():
                self.history.weight[n_items] = 0.0

        def items(self) -> Any:
            return self.item.weight

        def forward(self, histories: Any) -> Any:
            counts = (histories < n_items).sum(dim=1, keepdim=True).clamp_min(1)
            mean = self.history(histories).sum(dim=1) / counts
            return mean + self.down(torch.relu(self.up(mean)))

    return Tower()


def _attention(torch: Any, n_items: int, *, factors: int, blocks: int, length: int, dropout: float) -> Any:
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]  # torch is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = (nn.LayerNorm(factors, eps=EPSILON) for _ in range(2))
            self.query, self.key, self.value, self.up, self.down = (nn.Linear(factors, factors) for _ in range(5))
            self.drop = nn.Dropout(dropout)

        def forward(self, x: Any, mask: Any) -> Any:
            q = self.before(x)
            logits = self.query(q) @ self.key(x).transpose(1, 2) / factors**0.5
            x = q + self.drop(torch.softmax(logits + mask, dim=2) @ self.value(x))
            y = self.after(x)
            return y + self.drop(self.down(torch.relu(self.up(y))))

    class Attention(nn.Module):  # type: ignore[misc, name-defined]  # torch is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(n_items + 1, factors)
            self.position = nn.Embedding(length, factors)
            self.blocks = nn.ModuleList(Block() for _ in range(blocks))
            self.last = nn.LayerNorm(factors, eps=EPSILON)
            self.drop = nn.Dropout(dropout)
            for table in (self.embedding, self.position):
                nn.init.normal_(table.weight, std=0.05)

        def items(self) -> Any:
            return self.embedding.weight

        def forward(self, histories: Any) -> Any:
            padding = histories == n_items
            x = self.drop(self.embedding(histories) + self.position.weight.flip(0))
            mask = torch.full((length, length), float("-inf")).triu(1)[None]
            mask = mask.masked_fill(padding[:, None, :], float("-inf"))
            mask = mask.masked_fill(torch.eye(length, dtype=torch.bool)[None], 0.0)  # padding looks at itself
            for block in self.blocks:
                x = block(x, mask)
            return self.last(x[:, -1])

    return Attention()
