"""Files of members: what the list is called, and what the file does to it."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

from marketing.choices import ListMode


class UploadForm(forms.Form):
    """A file for a list."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy("CSV with a column user_id, email, crm, anonymous_id or device. It makes nobody new."),
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.gz,.jsonl,text/csv"}),
    )
    mode = forms.ChoiceField(label=gettext_lazy("What it does"), choices=ListMode.choices, initial=ListMode.ADD)


class ListForm(forms.Form):
    """A new list, with its first file."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    is_marketing = forms.BooleanField(
        label=gettext_lazy("For direct marketing"),
        required=False,
        help_text=gettext_lazy("Whoever objected to direct marketing is never in it."),
    )
    file = UploadForm.base_fields["file"]
