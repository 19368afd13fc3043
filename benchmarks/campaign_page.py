"""The campaign page with the demo world: `python benchmarks/campaign_page.py [--visits 400]`.

Runs on the database of HOLDOUT_DATA_DIR (after `make run` or `manage.py seed_demo`), one client, in one process without
a network: the frame and the slot of a running demo campaign for another demo person each time. Targets: at most 8
queries, p99 ≤ 50 ms. The exposures it records are those of demo people in a demo campaign.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.test import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

WARM_UP = 30
COUNT_EVERY = 20
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130 Safari/537.36"


@dataclass
class Taken:
    """What the visits of one address took."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)

    def line(self) -> str:
        """The figures in words."""
        ordered = sorted(self.wall)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return (
            f"{len(ordered)} visits, wall median {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms; "
            f"CPU median {statistics.median(self.cpu):.1f} ms; queries: usual {statistics.median(self.queries):.0f}, "
            f"most {max(self.queries)} (a cache that is read again included)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=400)
    visits = parser.parse_args().visits
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    logging.disable(logging.INFO)
    from django.core.signing import get_cookie_signer
    from django.test import Client
    from django.urls import reverse

    from experiments.selectors import get_status
    from marketing.models import Campaign
    from marketing.selectors.visitors import demo_people
    from marketing.views.visitor import DEMO_COOKIE

    running = Campaign.objects.filter(status="running", is_demo=True).order_by("pk")
    campaign = next((one for one in running if get_status(experiment_key=one.experiment_key) == "running"), None)
    if campaign is None:
        sys.exit("There is no running demo campaign: run `manage.py seed_demo` first.")
    client = Client(headers={"User-Agent": BROWSER, "Host": "localhost"})
    signer = get_cookie_signer(salt=DEMO_COOKIE * 2)  # Django prefixes the salt with the name
    taken = {"page": Taken(), "page-slot": Taken()}
    for number, person in enumerate(demo_people(segment_id=campaign.segment_id, limit=visits + WARM_UP)):
        client.cookies[DEMO_COOKIE] = signer.sign(str(person.profile_id))
        for name, into in taken.items():
            address = reverse(f"marketing:{name}", args=[campaign.slug])
            _visit(client, address, into if number >= WARM_UP else Taken(), counts=number % COUNT_EVERY == 0)
    for name, result in taken.items():
        print(f"{campaign.slug} {name}: {result.line()}")


def _visit(client: Client, address: str, into: Taken, *, counts: bool) -> None:
    """Visit once, timed or with the queries of the request's own thread counted: counting costs time."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    if counts:
        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        into.queries.append(sum(query["sql"] not in {"BEGIN", "COMMIT"} for query in captured.captured_queries))
        return
    wall, cpu = time.perf_counter(), time.process_time()
    response = client.get(address)
    into.wall.append((time.perf_counter() - wall) * 1000)
    into.cpu.append((time.process_time() - cpu) * 1000)
    assert response.status_code == 200, response.status_code


if __name__ == "__main__":
    main()
