"""Bodies in: bounded JSON that every store can hold, whatever a client sends."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, Final, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from config.webapi.errors import TOO_LARGE, Problem

MOST_BYTES: Final = 1_048_576
"""Five hundred items of a catalogue are about 500 KB."""


class JsonParser(BaseParser):
    """`application/json`: no NaN, no infinity (1e400 is one), no NUL and no lone surrogate in a text."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the decoded body."""
        raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise Problem(TOO_LARGE, f"A body may have {MOST_BYTES} bytes.")
        try:
            body = json.loads(raw.decode(), parse_constant=_refuse, parse_float=_finite)
            text = json.dumps(body, ensure_ascii=False)
            text.encode()
        except UnicodeError:
            raise ParseError("The body is not UTF-8, or a text in it has half of a surrogate pair.") from None
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not JSON: {error}.") from None
        if "\\u0000" in text:
            raise ParseError("A text in the body has the character NUL, which no database stores.")
        return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is larger than any number here")
    return number
