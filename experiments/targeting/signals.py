"""What a browser asks for before anybody is asked: Global Privacy Control always counts, Do Not Track if it is honored.

Source: https://www.w3.org/TR/gpc/ ; its header is sent by people's browsers only, never by servers.
"""

from __future__ import annotations

from typing import Final

YES: Final = "1"


def opts_out(*, gpc: str, dnt: str, honors_dnt: bool) -> bool:
    """Whether the headers `Sec-GPC` and `DNT` ask for privacy.

    >>> opts_out(gpc="1", dnt="", honors_dnt=False), opts_out(gpc="", dnt="1", honors_dnt=False)
    (True, False)
    >>> opts_out(gpc="", dnt="1", honors_dnt=True), opts_out(gpc="0", dnt="0", honors_dnt=True)
    (True, False)
    """
    return gpc == YES or (honors_dnt and dnt == YES)
