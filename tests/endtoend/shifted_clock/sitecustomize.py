"""Put on PYTHONPATH, this makes a whole Python process live HOLDOUT_TEST_CLOCK_SHIFT seconds from now.

Windows of a week close in a test this way: the stack first runs in the past, then in the present.
"""

from __future__ import annotations

import os
import time

if os.environ.get("HOLDOUT_TEST_CLOCK_SHIFT"):
    import time_machine

    time_machine.travel(time.time() + float(os.environ["HOLDOUT_TEST_CLOCK_SHIFT"]), tick=True).start()
