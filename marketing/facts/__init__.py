"""The one event log as the lower apps see it: facts for experiments, interactions for the recommender.

Only tasks and commands import this package: ibis and numpy have no place in the web process. The one exception is
serving, which reads one person's history through `Interactions`; numpy is therefore imported where it is used.
"""

from __future__ import annotations

from marketing.facts.events import EventFacts
from marketing.facts.interactions import Interactions, items_of

__all__ = ["EventFacts", "Interactions", "items_of"]
