"""Collect, on disk before the 200, against the naive view with one INSERT a request: `python benchmarks/collect.py`.

Needs wrk. The naive view is a Django view with the default middleware that decodes one message and inserts one row with
a committed transaction: into a database of its own on the PostgreSQL server of DATABASE_URL, or into SQLite. Targets:
1 event a request ≥ 4 × as many requests a second and ≥ 5 × less CPU than the naive view on PostgreSQL; 100 events a
request ≥ 80,000 events a second. Rounds alternate; the best of each is compared.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.load import Load, environment, manage, own_database, serve, wrk

ROUNDS = 3
SET_UP = """
from django.utils import timezone
from marketing.choices import SourceKind
from marketing.services.sources import ensure_source, issue_key
at = timezone.now()
print(issue_key(source=ensure_source(name="load", kind=SourceKind.SERVER, at=at), scopes=["write"], at=at)[1])
"""
# What one would write first: a view, a decoded body, one row.
NAIVE = """
import json, os
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
import config.settings as real

settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], DATABASES=real.DATABASES, USE_TZ=True,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
)
settings.DATABASES["default"]["CONN_MAX_AGE"] = 600

@csrf_exempt
def track(request):
    message = json.loads(request.body)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO naive (message_id, person, event, props) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [message["messageId"], message["userId"], message["event"], json.dumps(message["properties"])],
        )
    return JsonResponse({"success": True})

urlpatterns = [path("v1/track", track)]
application = get_wsgi_application()
"""
TABLE = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE naive (message_id varchar(200) PRIMARY KEY, person text, event text, props text)")
"""
SCRIPT = """
wrk.method = "POST"
wrk.headers["Authorization"] = "Basic %(basic)s"
wrk.headers["Content-Type"] = "application/json"
math.randomseed(os.time())
local run, number = math.random(1, 1000000000), 0
local function message()
  number = number + 1
  return '{"type":"track","messageId":"' .. run .. '-' .. number .. '","userId":"user-' .. number %% 20000 ..
    '","event":"Product Viewed","properties":{"product_id":"sku-' .. number %% 500 .. '","page":"/p"}}'
end
request = function()
  local body = %(body)s
  return wrk.format(nil, "%(path)s", nil, body)
end
"""
HUNDRED = """(function()
    local messages = {}
    for at = 1, 100 do messages[at] = message() end
    return '{"batch":[' .. table.concat(messages, ",") .. ']}'
  end)()"""


def best(loads: list[Load]) -> Load:
    return min(loads, key=lambda load: load.cpu)


def main() -> None:
    server = os.environ.get("DATABASE_URL", "")
    with tempfile.TemporaryDirectory(prefix="holdout-benchmark-") as name, own_database(server) as url:
        folder = Path(name)
        (folder / "naive.py").write_text(NAIVE)
        variables = environment(folder, url)
        manage(variables, "migrate", "-v", "0")
        manage(variables, "shell", "--no-imports", "-v", "0", "-c", TABLE)
        key = manage(variables, "shell", "--no-imports", "-v", "0", "-c", SET_UP).strip()
        basic = base64.b64encode(f"{key}:".encode()).decode()
        one, hundred = folder / "one.lua", folder / "hundred.lua"
        one.write_text(SCRIPT % {"basic": basic, "body": "message()", "path": "/v1/track"})
        hundred.write_text(SCRIPT % {"basic": basic, "body": HUNDRED, "path": "/v1/batch"})
        plain = {key: value for key, value in variables.items() if key != "DJANGO_SETTINGS_MODULE"}
        with serve(plain, "naive:application") as naive, serve(variables, "config.wsgi:application") as holdout:
            runs: dict[str, list[Load]] = {"naive": [], "1 event": [], "100 events": []}
            for _ in range(ROUNDS):
                runs["naive"].append(wrk(*naive, script=one, beside="postgres"))
                runs["1 event"].append(wrk(*holdout, script=one, beside="postgres"))
                runs["100 events"].append(wrk(*holdout, script=hundred, beside="postgres"))
        for label, loads in runs.items():
            print(f"{label:10s} {best(loads)}")
        naively, singly, batched = (best(loads) for loads in runs.values())
        fastest = {label: max(load.rate for load in loads) for label, loads in runs.items()}
        print(
            f"1 event: {fastest['1 event'] / fastest['naive']:.1f} × the naive rate, {naively.cpu / singly.cpu:.1f} × "
        )
        print(f"100 events: {fastest['100 events'] * 100:,.0f} events/s, {1e8 / batched.cpu:,.0f} per CPU second")


if __name__ == "__main__":
    main()
