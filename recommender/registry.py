"""Which algorithms exist: those of this app, entry points of installed packages, and dotted paths in the settings.

A plug-in package declares `[project.entry-points."holdout.algorithms"]`; a module of the installation is named in
`settings.RECOMMENDER_ALGORITHMS` (a list of dotted paths). Both are imported at the first look-up, not at start.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.module_loading import import_string

from recommender.algorithms.als import Als, FeatureAls
from recommender.algorithms.association import BoughtTogether
from recommender.algorithms.base import Algorithm, Capabilities
from recommender.algorithms.blend import Blend
from recommender.algorithms.bpr import Bpr
from recommender.algorithms.content import Content
from recommender.algorithms.deep import SasRec, TorchTwoTower
from recommender.algorithms.ease import Ease
from recommender.algorithms.item_knn import ItemKNN
from recommender.algorithms.learned import LearnedBlend
from recommender.algorithms.next_choice import NextChoice
from recommender.algorithms.popularity import Popularity, Random, SegmentPopularity, Trending
from recommender.algorithms.recent import RecentlyViewed
from recommender.algorithms.sequence import NextInSequence
from recommender.algorithms.session_knn import SessionKNN
from recommender.algorithms.social import FriendsLike, PeopleYouMayKnow
from recommender.algorithms.towers import TwoTower
from recommender.algorithms.user_knn import UserKNN
from recommender.errors import InvalidStrategy, UnknownAlgorithm

if TYPE_CHECKING:
    from recommender.algorithms.base import Parameters

BUILT_IN: tuple[type[Algorithm], ...] = (
    Popularity,
    Trending,
    SegmentPopularity,
    Random,
    RecentlyViewed,
    BoughtTogether,
    UserKNN,
    ItemKNN,
    Content,
    Ease,
    Als,
    FeatureAls,
    Bpr,
    NextChoice,
    TwoTower,
    TorchTwoTower,
    SasRec,
    NextInSequence,
    SessionKNN,
    PeopleYouMayKnow,
    FriendsLike,
    Blend,
    LearnedBlend,
)
ENTRY_POINT_GROUP = "holdout.algorithms"


@cache
def algorithms() -> dict[str, type[Algorithm]]:
    """All algorithms by key; a plug-in may not take a key that is in use."""
    found: dict[str, type[Algorithm]] = {}
    plugged = [point.load() for point in entry_points(group=ENTRY_POINT_GROUP)]
    named = [import_string(path) for path in getattr(settings, "RECOMMENDER_ALGORITHMS", ())]
    for algorithm in (*BUILT_IN, *plugged, *named):
        if not (isinstance(algorithm, type) and issubclass(algorithm, Algorithm)):
            raise InvalidStrategy(f"{algorithm!r} is not an Algorithm")
        if found.setdefault(algorithm.key, algorithm) is not algorithm:
            raise InvalidStrategy(f"two algorithms use the key {algorithm.key!r}")
    return found


def capabilities_of(key: str) -> Capabilities:
    """What an algorithm can; nothing special where it is not installed."""
    algorithm = algorithms().get(key)
    return algorithm.capabilities if algorithm is not None else Capabilities()


def build(key: str, parameters: Parameters) -> Algorithm:
    """An algorithm with its parameters; raises `UnknownAlgorithm` or `InvalidStrategy`."""
    try:
        algorithm = algorithms()[key]
    except KeyError:
        raise UnknownAlgorithm(f"unknown algorithm {key!r}; known are {', '.join(sorted(algorithms()))}") from None
    try:
        return algorithm(parameters)
    except (TypeError, ValueError) as error:
        raise InvalidStrategy(str(error)) from error
