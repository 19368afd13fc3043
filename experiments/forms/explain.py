"""Whom to explain."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class ExplainForm(forms.Form):
    """Whom to explain."""

    unit_type = forms.CharField(label=_("Kind of unit"), max_length=32, initial="profile")
    unit_id = forms.CharField(label=_("Id of the unit"), max_length=200)
    attributes = forms.JSONField(
        label=_("Attributes (JSON)"),
        required=False,
        initial=dict,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_('What the asking code knows besides what is stored of a profile, for example {"country": "DE"}.'),
    )

    def clean_attributes(self) -> dict[str, Any]:
        """An empty field is no attributes."""
        attributes = self.cleaned_data["attributes"]
        if attributes is not None and not isinstance(attributes, dict):
            raise forms.ValidationError(_("The attributes must be a JSON object."))
        return attributes or {}
