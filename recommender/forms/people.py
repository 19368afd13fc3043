"""Which person to look at."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class UserForm(forms.Form):
    """Which person to look at, through which strategy."""

    user_id = forms.CharField(label=_("Person"), max_length=200)
    strategy = forms.ChoiceField(label=_("Strategy"))

    def __init__(self, *args: Any, strategies: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["strategy"]
        assert isinstance(field, forms.ChoiceField)  # declared above
        field.choices = strategies

    def target(self) -> str:
        """Address of the person's page."""
        address = reverse("recommender:user-detail", args=[self.cleaned_data["user_id"]])
        return f"{address}?{urlencode({'strategy': self.cleaned_data['strategy']})}"
