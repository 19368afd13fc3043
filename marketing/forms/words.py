"""The words of an arm in other languages, as one text that people write and read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from django.utils.translation import gettext as _

from marketing.selectors.campaigns import Words

_HEAD: Final = re.compile(r"^\[([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})?)\]\s*$")
_FIELD: Final = re.compile(r"^(subject|headline|button):\s*(.*)$", re.IGNORECASE)
LONGEST: Final = {"subject": 150, "headline": 120, "button": 40}


def read_words(text: str) -> tuple[Words, ...]:
    """Return the languages of a text; ValueError names the line that cannot be read.

    >>> read_words("[de]\\nheadline: Für dich\\n<p>Hallo</p>")[0].headline
    'Für dich'
    """
    parts: list[tuple[str, dict[str, str], list[str]]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        head, field = _HEAD.match(line), _FIELD.match(line)
        if head is not None:
            parts.append((head[1].lower(), {}, []))
        elif not parts:
            if line.strip():
                raise ValueError(_("Line %(n)s: begin with a language in brackets, such as [de].") % {"n": number})
        elif field is not None and not any(parts[-1][2]):
            _keep(parts[-1][1], field[1].lower(), field[2].strip(), number)
        else:
            parts[-1][2].append(line)
    languages = [language for language, _said, _body in parts]
    twice = next((language for language in languages if languages.count(language) > 1), None)
    if twice is not None:
        raise ValueError(_("The language %(language)s is there twice.") % {"language": twice})
    return tuple(
        Words(
            language=language,
            subject=said.get("subject", ""),
            headline=said.get("headline", ""),
            button_text=said.get("button", ""),
            body="\n".join(body).strip(),
        )
        for language, said, body in parts
    )


def write_words(words: Iterable[Words]) -> str:
    """Return languages as the text that `read_words` reads."""
    return "\n\n".join(_written(one) for one in words)


def _keep(said: dict[str, str], name: str, value: str, number: int) -> None:
    if len(value) > LONGEST[name]:
        raise ValueError(
            _("Line %(n)s: %(name)s has more than %(most)s characters.")
            % {"n": number, "name": name, "most": LONGEST[name]}
        )
    said[name] = value


def _written(words: Words) -> str:
    lines = [f"[{words.language}]"]
    for name, value in (("subject", words.subject), ("headline", words.headline), ("button", words.button_text)):
        if value:
            lines.append(f"{name}: {value}")
    return "\n".join([*lines, words.body]).rstrip()
