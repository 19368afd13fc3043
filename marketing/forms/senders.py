"""Whose name stands in the From line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from marketing.models import Sender

FREE_MAIL: Final = frozenset({"gmail.com", "googlemail.com", "yahoo.com"})
"""Their owners ask mailboxes to refuse what others send in their name."""

SELECTOR: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Sender]
else:
    _ModelForm = forms.ModelForm


class SenderForm(_ModelForm):
    class Meta:
        model = Sender
        fields = ("name", "email", "reply_to", "return_path", "postal_address", "dkim_selector")
        widgets = {"postal_address": forms.Textarea(attrs={"rows": 3})}

    def clean_name(self) -> str:
        """Refuse line breaks: the name stands in a header."""
        name: str = self.cleaned_data["name"]
        if any(ord(char) < 32 for char in name):
            raise forms.ValidationError(_("A name has no line breaks."))
        return name

    def clean_dkim_selector(self) -> str:
        """Refuse what is no name in the DNS."""
        selector: str = self.cleaned_data["dkim_selector"].strip().lower()
        if selector and SELECTOR.fullmatch(selector) is None:
            raise forms.ValidationError(_("A selector has letters, digits, hyphens and dots, as in “mail2026”."))
        return selector

    def save(self, commit: bool = True) -> Sender:
        """Forget what was found about another address."""
        if {"email", "return_path", "dkim_selector"} & set(self.changed_data):
            self.instance.domain_findings, self.instance.domain_checked_at = None, None
        return super().save(commit)

    def clean_email(self) -> str:
        """Refuse addresses of free providers."""
        email: str = self.cleaned_data["email"]
        host = email.rpartition("@")[2].lower()
        if host in FREE_MAIL:
            raise forms.ValidationError(
                _("%(host)s asks mailboxes to refuse this: send from an address of your own domain.") % {"host": host}
            )
        return email
