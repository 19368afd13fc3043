"""Switching the review by a second person."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class ReviewPolicyForm(forms.Form):
    """On or off, with the reason that stands in the log."""

    is_on = forms.TypedChoiceField(
        label=_("A second person must approve"),
        choices=[("1", _("on")), ("0", _("off"))],
        coerce=lambda value: value == "1",
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=300, required=False, help_text=_("Needed to switch it off. It stands in the log.")
    )
