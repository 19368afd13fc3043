"""Declaring a trait: stated by people and imports, or computed by a formula over other traits."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from marketing.choices import Sensitivity, TraitConflict, TraitType
from marketing.portrait.formula import LONGEST
from marketing.portrait.recipes import SCHEMA


class TraitForm(forms.Form):
    key = forms.CharField(
        label=_("Key"),
        max_length=64,
        help_text=_("As messages and imports name it: small letters, digits and _. It cannot be changed later."),
    )
    name = forms.CharField(label=_("Name"), max_length=100)
    type = forms.ChoiceField(
        label=_("Type"), choices=TraitType.choices, help_text=_("With a formula it is a number, whatever stands here.")
    )
    sensitivity = forms.ChoiceField(
        label=_("Sensitivity"),
        choices=Sensitivity.choices,
        help_text=_("Protected: health, faith, origin and the like. It needs a legal basis and is never computed."),
    )
    conflict = forms.ChoiceField(
        label=_("Where sources disagree"),
        choices=TraitConflict.choices,
        initial=TraitConflict.NEWEST,
        help_text=_("What stays. Ranks are those of the sources; imports have a source, too."),
    )
    allowed_values = forms.CharField(
        label=_("Allowed values"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Of a text, one a line; empty: every text."),
    )
    formula = forms.CharField(
        label=_("Formula"),
        required=False,
        max_length=LONGEST,
        help_text=_("For example revenue_365d / orders_365d. Empty: the value is stated."),
    )
    description = forms.CharField(label=_("Description"), required=False, max_length=300)

    def wish(self) -> dict[str, Any]:
        """Return what `define_trait` takes."""
        data = self.cleaned_data
        formula = data["formula"].strip()
        return {
            "key": data["key"].strip(),
            "name": data["name"],
            "type_": TraitType(data["type"]),
            "sensitivity": Sensitivity(data["sensitivity"]),
            "conflict": TraitConflict(data["conflict"]),
            "allowed_values": data["allowed_values"].splitlines(),
            "description": data["description"],
            "recipe": {"schema": SCHEMA, "kind": "formula", "expression": formula} if formula else None,
        }
