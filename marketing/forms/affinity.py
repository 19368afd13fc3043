"""Whom an item would suit: which item, by which strategy, how many people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from marketing.services.affinity import MOST_PEOPLE, AffinityWish
from recommender.selectors import get_item


class AffinityForm(forms.Form):
    """One wish."""

    item_id = forms.CharField(label=gettext_lazy("Item"), max_length=200, help_text=gettext_lazy("Its id."))
    strategy = forms.ChoiceField(label=gettext_lazy("By the strategy"))
    people = forms.IntegerField(label=gettext_lazy("People at most"), min_value=1, max_value=MOST_PEOPLE, initial=1_000)

    def __init__(self, *args: Any, strategies: Iterable[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["strategy"]
        assert isinstance(field, forms.ChoiceField)  # declared above
        field.choices = list(strategies)

    def clean_item_id(self) -> str:
        """Only what is in the catalogue."""
        item = get_item(item_id=self.cleaned_data["item_id"])
        if item is None:
            raise forms.ValidationError(_("There is no item “%(id)s”.") % {"id": self.cleaned_data["item_id"]})
        self.title = item.title
        return item.item_id

    def wish(self) -> AffinityWish:
        """What the valid fields say."""
        data = self.cleaned_data
        name = _("Would like “%(title)s”") % {"title": self.title}
        return AffinityWish(item_id=data["item_id"], strategy=data["strategy"], people=data["people"], name=name[:100])
