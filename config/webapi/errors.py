"""Problems (RFC 9457): the one shape of every error of the management API, and the kinds there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rest_framework.exceptions import APIException


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: `slug` is its address on the documentation page, `remedy` what the caller can do."""

    slug: str
    status: int
    title: str
    remedy: str


INVALID: Final = Kind(
    "invalid", 400, "The request is not valid", "Correct what `errors` names; the documentation lists every field."
)
UNAUTHENTICATED: Final = Kind(
    "unauthenticated",
    401,
    "Nobody is signed in",
    "Send `Authorization: Bearer KEY` with a key in force of the scope `read` or `manage`, or sign in.",
)
FORBIDDEN: Final = Kind(
    "forbidden", 403, "This is not allowed", "Use a key or a person with the permission that `detail` names."
)
NOT_FOUND: Final = Kind("not-found", 404, "There is no such thing", "List what there is, and check the name.")
METHOD: Final = Kind(
    "method-not-allowed", 405, "This address does not know the method", "Use a method of the header `Allow`."
)
CONFLICT: Final = Kind(
    "conflict", 409, "The present state does not allow it", "Read the present state, then do what `errors` asks for."
)
TOO_LARGE: Final = Kind("too-large", 413, "The body is too large", "Send less at once.")
MEDIA_TYPE: Final = Kind("media-type", 415, "The body is in no format that is read here", "Send application/json.")
REFUSED: Final = Kind(
    "refused", 422, "What was asked for contradicts itself or what there is", "Correct what `errors` names."
)
TOO_MANY: Final = Kind("too-many", 429, "Too many requests", "Wait for as long as `Retry-After` says, in seconds.")
UNAVAILABLE: Final = Kind("unavailable", 503, "This cannot be done now", "Try again in a minute.")

KINDS: Final = (
    INVALID,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD,
    CONFLICT,
    TOO_LARGE,
    MEDIA_TYPE,
    REFUSED,
    TOO_MANY,
    UNAVAILABLE,
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong: `pointer` leads into the body or names a parameter; empty is the whole request."""

    pointer: str
    code: str
    detail: str


class Problem(APIException):
    """What a handler raises, or what an app's error becomes at the border."""

    def __init__(self, kind: Kind, detail: str, flaws: Sequence[Flaw] = ()) -> None:
        super().__init__(detail, code=kind.slug)
        self.status_code = kind.status
        self.kind = kind
        self.flaws = tuple(flaws)
