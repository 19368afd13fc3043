"""The preference centre's form. What is in force is shown; of anything else nothing is ticked beforehand."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from marketing.choices import ASKED_PURPOSES
from marketing.services.preferences import MOST_MAILS, Choice

# The words beside each box: they are what somebody agrees to, and are kept with the answer.
WORDS: Final = {
    "analytics": _("You may measure what I do here, to find out what helps people (analytics)."),
    "personalization": _("You may choose what I am shown by what I did before (personalization)."),
    "marketing_email": _("You may send me news and offers by e-mail."),
    "profiling": _("You may conclude from what I did what I am likely to want (profiling)."),
}
OBJECTION: Final = _("I object to the use of my data for direct marketing, and to profiling for it.")


class PreferencesForm(forms.Form):
    """All purposes, the channel and its frequency, and the objection, on one page with one button."""

    analytics = forms.BooleanField(label=WORDS["analytics"], required=False)
    personalization = forms.BooleanField(label=WORDS["personalization"], required=False)
    profiling = forms.BooleanField(label=WORDS["profiling"], required=False)
    marketing_email = forms.BooleanField(label=WORDS["marketing_email"], required=False)
    most_mails = forms.TypedChoiceField(
        label=_("How many of these e-mails, at most"),
        choices=[
            ("", _("no limit of mine")),
            *((n, ngettext_lazy("%d in thirty days", "%d in thirty days") % n) for n in MOST_MAILS),
        ],
        coerce=int,
        empty_value=None,
        required=False,
    )
    objects = forms.BooleanField(label=OBJECTION, required=False)

    @classmethod
    def of(cls, choice: Choice) -> PreferencesForm:
        """Return the form with what is in force."""
        initial: dict[str, Any] = {purpose.value: purpose.value in choice.granted for purpose in ASKED_PURPOSES}
        return cls(initial=initial | {"most_mails": choice.most_mails or "", "objects": choice.objects})

    def choice(self) -> Choice:
        """Return what was chosen; call it on a valid form."""
        data = self.cleaned_data
        return Choice(
            granted=frozenset(purpose.value for purpose in ASKED_PURPOSES if data[purpose.value]),
            objects=data["objects"],
            most_mails=data["most_mails"],
        )


class AddressForm(forms.Form):
    """Whose link is wanted."""

    email = forms.EmailField(
        label=_("Your e-mail address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


def words() -> dict[str, str]:
    """Return what stands beside each purpose in the language of the page."""
    return {name: str(text) for name, text in WORDS.items()}
