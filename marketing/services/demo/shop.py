"""The demo shop's catalogue: twelve shelves of outdoor and home goods, and which tastes like them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MICRO: Final = 1_000_000
TASTES: Final = ("alpine", "camping", "commuting", "cosy home", "cooking", "garden")
ZIPF_EXPONENT: Final = 0.8  # of popularity over rank; about what shops see
OWN_TASTE: Final = 0.35  # spread of an item's loading around its shelf's


@dataclass(frozen=True, slots=True)
class Shelf:
    """One category: its goods are every model name times every kind."""

    slug: str
    title: str
    models: tuple[str, ...]
    kinds: tuple[tuple[str, float], ...]  # (what it is, price)
    sentence: str
    loading: tuple[float, ...]  # liking by taste, in the order of TASTES


@dataclass(frozen=True, slots=True)
class Good:
    """One item of the shop."""

    item_id: str
    title: str
    shelf: str
    category: str
    brand: str
    price: int  # micro-units
    text: str
    tags: tuple[str, ...]
    age_days: int


@dataclass(frozen=True, slots=True)
class Shop:
    """Goods with what drives demand for them: `loadings` is goods × tastes, `popularity` sums to 1."""

    goods: tuple[Good, ...]
    loadings: NDArray[np.float64]
    popularity: NDArray[np.float64]
    shelf_index: NDArray[np.int64]


BRANDS: Final = ("Norrvik", "Tarnhill", "Kestrel & Pine", "Halden", "Moss & Clay", "Saltmarsh")
FEATURES: Final = (
    "Repairable, with spare parts for ten years.",
    "Made from recycled material.",
    "Our most-mended piece: it simply lasts.",
    "Small batch, numbered by hand.",
    "Light enough to forget that you carry it.",
    "Tested for two winters by the people who sew it.",
)
SHELVES: Final = (
    Shelf(
        "tents",
        "Tents & tarps",
        ("Skylark", "Curlew", "Heron", "Plover", "Swift"),
        (("solo tent", 229), ("two-person tent", 319), ("family tent", 549), ("tarp", 89), ("bivy bag", 119)),
        "Stands in five minutes and keeps calm in wind.",
        (1.2, 2.0, -0.5, -0.8, -0.3, 0.2),
    ),
    Shelf(
        "sleeping-bags",
        "Sleeping bags & mats",
        ("Dormouse", "Hedgehog", "Marmot Moon", "Badger", "Fox"),
        (("summer bag", 99), ("down bag", 289), ("quilt", 179), ("foam mat", 39), ("air mat", 109)),
        "Warm where it matters, packed to the size of a loaf.",
        (1.0, 1.8, -0.4, 0.1, -0.5, -0.3),
    ),
    Shelf(
        "backpacks",
        "Backpacks",
        ("Ridge", "Saddle", "Summit", "Valley", "Pass"),
        (("daypack 18 l", 79), ("daypack 25 l", 99), ("trekking pack 45 l", 189), ("roll-top", 119), ("hip bag", 45)),
        "A back panel that breathes and pockets where hands are.",
        (1.5, 0.8, 1.4, -0.6, -0.6, -0.4),
    ),
    Shelf(
        "boots",
        "Hiking boots",
        ("Granite", "Basalt", "Gneiss", "Slate", "Flint"),
        (
            ("mid boot", 169),
            ("alpine boot", 259),
            ("trail shoe", 129),
            ("approach shoe", 149),
            ("winter boot", 199),
        ),
        "Grip on wet rock, comfortable from the first day.",
        (2.1, 0.6, 0.2, -0.7, -0.6, -0.2),
    ),
    Shelf(
        "rain-jackets",
        "Rain jackets",
        ("Drizzle", "Squall", "Cloudburst", "Mizzle", "Monsoon"),
        (("shell jacket", 249), ("city parka", 199), ("cape", 69), ("rain trousers", 89), ("windshirt", 79)),
        "Keeps weather out and lets warmth leave slowly.",
        (1.1, 0.5, 1.9, -0.4, -0.6, 0.1),
    ),
    Shelf(
        "merino",
        "Merino layers",
        ("Ewe", "Lambswool", "Fleece Hill", "Drover", "Shepherd"),
        (("T-shirt", 69), ("long sleeve", 89), ("leggings", 85), ("socks, two pairs", 29), ("beanie", 35)),
        "Soft merino that smells of nothing after three days.",
        (1.3, 0.5, 1.0, 0.5, -0.6, -0.3),
    ),
    Shelf(
        "lanterns",
        "Lanterns & lights",
        ("Firefly", "Glow-worm", "Ember", "Dusk", "Lighthouse"),
        (
            ("headlamp", 49),
            ("table lantern", 59),
            ("string lights", 29),
            ("bike light set", 45),
            ("candle lantern", 24),
        ),
        "A warm light that does not dazzle the company.",
        (0.3, 1.2, 0.8, 0.9, -0.2, 0.7),
    ),
    Shelf(
        "camp-kitchen",
        "Camp kitchen",
        ("Juniper", "Birch", "Rowan", "Hazel", "Elder"),
        (("gas stove", 69), ("pot set", 59), ("cast-iron pan", 49), ("folding knife", 39), ("spice kit", 25)),
        "Cooks a real supper where there is no kitchen.",
        (0.2, 1.6, -0.6, -0.2, 1.5, 0.2),
    ),
    Shelf(
        "bottles",
        "Bottles & flasks",
        ("Spring", "Brook", "Rill", "Tarn", "Beck"),
        (
            ("steel bottle", 29),
            ("thermos 0.75 l", 39),
            ("travel mug", 27),
            ("children's bottle", 22),
            ("filter bottle", 49),
        ),
        "Hot till the evening, cold till the summit, tight in any bag.",
        (0.7, 0.5, 1.6, -0.1, 0.1, 0.0),
    ),
    Shelf(
        "blankets",
        "Blankets & cushions",
        ("Heather", "Thistle", "Bracken", "Lichen", "Gorse"),
        (("wool throw", 119), ("picnic blanket", 59), ("linen cushion", 45), ("bed cover", 159), ("floor cushion", 79)),
        "Woven slowly, in the colours of the hill behind the mill.",
        (-0.7, 0.1, -0.4, 2.2, 0.2, 0.4),
    ),
    Shelf(
        "ceramics",
        "Ceramics & table",
        ("Pebble", "Dune", "Driftwood", "Cove", "Tide"),
        (("mug", 19), ("bowl", 24), ("dinner plate", 28), ("teapot", 59), ("serving board", 45)),
        "Thrown by hand, safe in the dishwasher, each a little different.",
        (-0.9, -0.4, -0.4, 1.5, 2.0, 0.3),
    ),
    Shelf(
        "garden",
        "Garden & balcony",
        ("Clover", "Yarrow", "Marigold", "Foxglove", "Campion"),
        (("planter", 39), ("hand tools", 49), ("watering can", 45), ("seed box", 19), ("folding chair", 99)),
        "For a balcony that bees find before the neighbours do.",
        (-0.6, 0.1, -0.5, 0.6, 0.5, 2.4),
    ),
)


def build_shop(*, rng: np.random.Generator) -> Shop:
    """Stock the shelves: 300 goods with prices, texts, popularity by Zipf's law and loadings on the tastes."""
    goods: list[Good] = []
    shelf_index: list[int] = []
    for position, shelf in enumerate(SHELVES):
        for model in shelf.models:
            for kind, price in shelf.kinds:
                goods.append(_good(shelf=shelf, model=model, kind=kind, price=price, rng=rng))
                shelf_index.append(position)
    shelves = np.array(shelf_index)
    means = np.array([shelf.loading for shelf in SHELVES])
    loadings = means[shelves] + rng.normal(0.0, OWN_TASTE, (len(goods), len(TASTES)))
    ranks = rng.permutation(len(goods)) + 1.0
    popularity = ranks**-ZIPF_EXPONENT
    return Shop(goods=tuple(goods), loadings=loadings, popularity=popularity / popularity.sum(), shelf_index=shelves)


def _good(*, shelf: Shelf, model: str, kind: str, price: float, rng: np.random.Generator) -> Good:
    euros = max(5, round(price * rng.uniform(0.8, 1.25))) - 0.1
    code = "".join(character for character in kind if character.isalnum())[:10].lower()
    return Good(
        item_id=f"{shelf.slug}-{model.split(' ', maxsplit=1)[0].lower()}-{code}",
        title=f"{model} {kind}",
        shelf=shelf.slug,
        category=shelf.title,
        brand=BRANDS[int(rng.integers(len(BRANDS)))],
        price=round(euros * MICRO),
        text=f"{shelf.sentence} {FEATURES[int(rng.integers(len(FEATURES)))]}",
        tags=(shelf.slug, kind.rsplit(" ", maxsplit=1)[-1]),
        age_days=int(rng.integers(100, 900)),
    )
