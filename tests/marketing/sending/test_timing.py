"""When a message may go."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from marketing.services.sending.timing import Window

TUESDAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "zone", "opens"),
    [
        (Window(8, 20), "UTC", TUESDAY),
        (Window(8, 20, (1,)), "UTC", TUESDAY),
        (Window(8, 20, (2,)), "UTC", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        (Window(8, 12, (1,)), "UTC", datetime(2026, 12, 1, 8, tzinfo=UTC)),
        (Window(14, 20, (1, 4)), "UTC", datetime(2026, 11, 24, 14, tzinfo=UTC)),
        # In Auckland it is Wednesday, 1 a.m. already.
        (Window(8, 20, (1,)), "Pacific/Auckland", datetime(2026, 11, 30, 19, tzinfo=UTC)),
        (Window(8, 20, (2,)), "Pacific/Auckland", datetime(2026, 11, 24, 19, tzinfo=UTC)),
        (Window(0, 24, (6,)), "no such zone", datetime(2026, 11, 29, tzinfo=UTC)),
    ],
)
def test_window__weekdays__are_those_of_the_recipient(window: Window, zone: str, opens: datetime) -> None:
    assert window.opens(at=TUESDAY, zone=zone) == opens


def test_window__over_the_change_of_clocks__keeps_the_hour() -> None:
    saturday = datetime(2026, 10, 24, 19, tzinfo=UTC)
    assert Window(8, 20, (0,)).opens(at=saturday, zone="Europe/Berlin") == datetime(2026, 10, 26, 7, tzinfo=UTC)
