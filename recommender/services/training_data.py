"""What a training reads: events of a window, descriptions of items, and which experiments acted on the events."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.utils.module_loading import import_string

from recommender.dataset import Dataset, DatasetBuilder, number_tokens
from recommender.models import EventWeight, Item
from recommender.services.events import interactions_port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.ports import ExposedArm, InteractionChunk

SCHEMA = 1
WORD = re.compile(r"\w{2,}")


@dataclass(slots=True)
class ArmShare:
    """How much of the training data one arm of a running experiment acted on."""

    arm: ExposedArm
    interactions: int = 0
    """Of people in this arm, from their first exposure on."""
    left_out: int = 0
    active: NDArray[np.bool_] = field(init=False)
    """Which of the arm's people did something afterwards."""

    def __post_init__(self) -> None:
        self.active = np.zeros(self.arm.user_id.size, dtype=bool)

    def acted_on(self, chunk: InteractionChunk) -> NDArray[np.bool_]:
        """Which rows happened to people of this arm after they had met it; notes who they were."""
        if not self.arm.user_id.size:
            return np.zeros(chunk.user_id.size, dtype=bool)
        place = np.minimum(np.searchsorted(self.arm.user_id, chunk.user_id), self.arm.user_id.size - 1)
        is_theirs = self.arm.user_id[place] == chunk.user_id
        rows: NDArray[np.bool_] = is_theirs & (chunk.at >= self.arm.first_at[place])
        self.active[place[rows]] = True
        return rows


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A data set, and the shares of arms in it."""

    dataset: Dataset
    shares: tuple[ArmShare, ...]

    def describe_arms(self, *, left_out: bool) -> dict[str, Any]:
        """The JSON form, for the model's row."""
        total = self.dataset.n_interactions
        return {
            "schema": SCHEMA,
            "treated_left_out": left_out,
            "arms": [
                {
                    "experiment": share.arm.experiment,
                    "arm": share.arm.arm,
                    "is_control": share.arm.is_control,
                    "people": int(share.active.sum()),
                    "interactions": share.interactions,
                    "left_out": share.left_out,
                    "share": share.interactions / total if total else 0.0,
                }
                for share in self.shares
            ],
        }


def load_data(
    *, since: int | None, until: int, leave_out_treated: bool = False, with_people: bool = False
) -> TrainingData:
    """Events of the window from the port, with the catalogue's items and their descriptions, those of people if wanted.

    `leave_out_treated` drops what people of a running experiment did after they met its treatment, so that the model
    does not learn from what it (or a rival) showed them; what the control's people did stays.
    """
    weights = dict(EventWeight.objects.filter(weight__gt=0).values_list("event_type", "weight"))
    tokens = {
        row["item_id"]: item_tokens(row)
        for row in Item.objects.values("item_id", "title", "category", "brand", "tags", "text").order_by("pk")
    }
    for name, bins in _price_tokens().items():
        tokens[name] += bins
    port = interactions_port()
    shares = tuple(ArmShare(arm) for arm in port.exposed_arms(until=until))
    builder = DatasetBuilder(event_weights=weights, item_ids=tokens)
    for chunk in port.interactions(since=since, until=until, event_types=sorted(weights)):
        keep = _kept(chunk, shares, leave_out_treated=leave_out_treated)
        builder.add_events(
            user_id=chunk.user_id[keep],
            item_id=chunk.item_id[keep],
            event_type=chunk.event_type[keep],
            at=chunk.at[keep],
        )
    dataset = builder.build(tokens=tokens, user_tokens=port.describe_users() if with_people else None)
    return TrainingData(dataset=_with_vectors(dataset), shares=shares)


def _price_tokens() -> dict[str, tuple[str, ...]]:
    """Bins of prices, of each currency by itself."""
    by_currency: dict[str, dict[str, float]] = {}
    for name, currency, price in Item.objects.order_by("pk").values_list("item_id", "currency", "price"):
        if price is not None:
            by_currency.setdefault(currency, {})[name] = float(price)
    found: dict[str, tuple[str, ...]] = {}
    for currency, prices in by_currency.items():
        found |= number_tokens(f"price {currency}", prices)
    return found


def _with_vectors(dataset: Dataset) -> Dataset:
    """The data set with embeddings of the items' texts, where `settings.RECOMMENDER_TEXT_VECTORS` names a function.

    It takes a list of texts and gives an array, one row per text.
    """
    path: str = getattr(settings, "RECOMMENDER_TEXT_VECTORS", "")
    if not path or dataset.n_items == 0:
        return dataset
    rows = Item.objects.values_list("item_id", "title", "text").order_by("pk")
    texts = {name: f"{title}\n{text}".strip() for name, title, text in rows}
    embedded = import_string(path)([texts.get(name, "") for name in dataset.item_ids.tolist()])
    vectors = np.asarray(embedded, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[0] != dataset.n_items or not np.isfinite(vectors).all():
        raise ValueError(f"{path}: {dataset.n_items} rows of finite numbers expected, got shape {vectors.shape}")
    return replace(dataset, vectors=vectors)


def _kept(chunk: InteractionChunk, shares: Sequence[ArmShare], *, leave_out_treated: bool) -> NDArray[np.bool_]:
    keep = np.ones(chunk.user_id.size, dtype=bool)
    acted = [share.acted_on(chunk) for share in shares]
    for share, rows in zip(shares, acted, strict=True):
        if leave_out_treated and not share.arm.is_control:
            share.left_out += int(rows.sum())
            keep &= ~rows
    for share, rows in zip(shares, acted, strict=True):
        share.interactions += int((rows & keep).sum())
    return keep


def item_tokens(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What content-based models know of an item.

    >>> item_tokens({"title": "Red Mug", "category": "Kitchen", "brand": "", "tags": ["gift"], "text": ""})
    ('category=kitchen', 'tag=gift', 'word=red', 'word=mug')
    """
    tokens = [f"{name}={row[name].casefold()}" for name in ("category", "brand") if row[name]]
    tokens += [f"tag={str(tag).casefold()}" for tag in row["tags"]]
    tokens += [f"word={word}" for word in WORD.findall(f"{row['title']} {row['text']}".casefold())]
    return tuple(tokens)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over ids and interactions: equal data, equal fingerprint."""
    digest = hashlib.sha256()
    for array in (dataset.user_ids, dataset.item_ids, dataset.users, dataset.items, dataset.weights, dataset.at):
        digest.update(str(array.dtype).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
