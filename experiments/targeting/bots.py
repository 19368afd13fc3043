"""Who is no person: the programs that fetch pages and run their scripts, told by what they call themselves.

The list is ours and short on purpose: crawlers, link previews, mail scanners, monitors, and the libraries that scripts
use. Whoever lies about it is not found here; their traffic shows in the health checks instead.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_CRAWLERS: Final = (
    r"bot\b|crawl|spider|slurp|preview|facebookexternalhit|lighthouse|monitor|scanner|headlesschrome|"
    r"barracuda|mimecast|proofpoint|safelinks"
)
_LIBRARIES: Final = r"curl/|wget/|python-|okhttp|java/|go-http-client|httpclient"
_CRAWLER: Final = re.compile(_CRAWLERS, re.IGNORECASE)
_PROGRAM: Final = re.compile(f"{_CRAWLERS}|{_LIBRARIES}", re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_crawler(user_agent: str) -> bool:
    """Whether this is the agent of a crawler. A library's is none: servers ask for people with it.

    >>> is_crawler("Mozilla/5.0 (compatible; Googlebot/2.1)"), is_crawler("python-requests/2.32")
    (True, False)
    """
    return _CRAWLER.search(user_agent) is not None


def is_program(user_agent: str) -> bool:
    """Whether what fetched a page is no browser of a person; no name at all is none either.

    >>> is_program("python-requests/2.32"), is_program("")
    (True, True)
    """
    return not user_agent or _PROGRAM.search(user_agent) is not None
