"""The consent question of the public pages. Nothing is ticked beforehand."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from marketing.choices import Purpose

CONSENT_TEXT = _(
    "May we remember this browser, to measure what helps (analytics) and to choose items for you (personalization)? "
    "You can change your mind at any time, here, with one click."
)


class ConsentForm(forms.Form):
    """Two separate answers; no answer is a no."""

    analytics = forms.BooleanField(label=_("Measure what helps"), required=False)
    personalization = forms.BooleanField(label=_("Choose items for me"), required=False)

    def purposes(self) -> frozenset[str]:
        """Return what was allowed; call it on a valid form."""
        return frozenset(
            purpose for purpose in (Purpose.ANALYTICS, Purpose.PERSONALIZATION) if self.cleaned_data[purpose.value]
        )
