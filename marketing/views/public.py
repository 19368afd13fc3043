"""What every public page shows around its content: the consent question, and whether a demo person is played."""

from __future__ import annotations

from django.http import HttpRequest

from marketing.forms.consent import CONSENT_TEXT, ConsentForm
from marketing.views.visitor import has_chosen, visitor_of

ASK_AGAIN = "privacy"
"""The query parameter that shows the question again to somebody who refused before."""


def frame(request: HttpRequest) -> dict[str, object]:
    """Return the context of the public frame; it decides and stores nothing."""
    visitor = visitor_of(request)
    plays_demo = visitor.demo_profile_id is not None
    is_asked = not has_chosen(request) or ASK_AGAIN in request.GET
    return {
        "consent_form": ConsentForm() if is_asked and not visitor.opts_out and not plays_demo else None,
        "consent_text": CONSENT_TEXT,
        "plays_demo": plays_demo,
        "is_recognized": visitor.is_recognizable,
    }
