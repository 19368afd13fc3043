"""Who hears of alerts and gets the digest."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from experiments.choices import AlertKind, RecipientKind


class RecipientForm(forms.Form):
    """An address that hears of alerts."""

    kind = forms.ChoiceField(label=_("Way"), choices=RecipientKind.choices)
    address = forms.CharField(
        label=_("Address"), max_length=500, help_text=_("An e-mail address, or the https address of a webhook.")
    )
    experiment = forms.CharField(
        label=_("Only of this experiment"), required=False, max_length=100, help_text=_("Its key; empty: of all.")
    )
    kinds = forms.MultipleChoiceField(
        label=_("Only these alerts"),
        required=False,
        choices=AlertKind.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )

    def values(self) -> dict[str, Any]:
        """The fields as the service names them."""
        data = self.cleaned_data
        return {
            "kind": data["kind"],
            "address": data["address"],
            "kinds": data["kinds"],
            "experiment_key": data["experiment"],
        }


class DigestForm(forms.Form):
    """Somebody without an account who may want the digest."""

    address = forms.EmailField(label=_("E-mail address"))
