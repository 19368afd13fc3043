"""The WSGI entry point: hot paths are answered in front of Django, in the same process; everything else by Django."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_wsgi_application()

# Settings must be configured before these are imported.
from django.conf import settings  # noqa: E402

from config.lean import import_without  # noqa: E402

# 15 MB that its test client and PostgreSQL's own fields would bring into every web process.
import_without("rest_framework.compat", absent=("requests", "django.contrib.postgres"))

from config.checks import refuse_unsafe_settings  # noqa: E402
from experiments.selectors.config import keep_config_in  # noqa: E402
from experiments.wire.decide import Decide, is_decision  # noqa: E402
from marketing.wire.collect import ENDPOINTS, collect  # noqa: E402
from marketing.wire.gate import ClientGate  # noqa: E402

refuse_unsafe_settings()
keep_config_in(Path(settings.DATA_DIR) / "experiments.json")
decide = Decide(ClientGate())
gc.freeze()  # what was imported stays for ever: collections pass it over


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Dispatch one request."""
    path: str = environ["PATH_INFO"]
    if path in ENDPOINTS:
        return collect(environ, start_response)
    if is_decision(path):
        return decide(environ, start_response)
    return django_application(environ, start_response)
