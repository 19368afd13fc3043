"""Whose name stands in the From line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from marketing.models import Sender

FREE_MAIL: Final = frozenset({"gmail.com", "googlemail.com", "yahoo.com"})
"""Their owners ask mailboxes to refuse what others send in their name."""

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Sender]
else:
    _ModelForm = forms.ModelForm


class SenderForm(_ModelForm):
    class Meta:
        model = Sender
        fields = ("name", "email", "reply_to", "return_path", "postal_address")
        widgets = {"postal_address": forms.Textarea(attrs={"rows": 3})}

    def clean_name(self) -> str:
        """Refuse line breaks: the name stands in a header."""
        name: str = self.cleaned_data["name"]
        if any(ord(char) < 32 for char in name):
            raise forms.ValidationError(_("A name has no line breaks."))
        return name

    def clean_email(self) -> str:
        """Refuse addresses of free providers."""
        email: str = self.cleaned_data["email"]
        host = email.rpartition("@")[2].lower()
        if host in FREE_MAIL:
            raise forms.ValidationError(
                _("%(host)s asks mailboxes to refuse this: send from an address of your own domain.") % {"host": host}
            )
        return email
