"""Which class of a model a recording's label means."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def _plain(name: str) -> str:
    """Letters, digits and marks of any script, small; anything else between them is one "_"."""
    small = unicodedata.normalize("NFKC", name).casefold()
    return "_".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in small).split())


def match_labels(classes: Sequence[str], labels: Sequence[str]) -> list[int | None]:
    """For each label the index of its class, or None.

    Case and punctuation do not matter. A label that is no class belongs to the longest class name that it begins with,
    so that WALKING_RX is walking for a model that does not tell the sides apart.
    """
    plain = [_plain(name) for name in classes]
    return [classes.index(label) if label in classes else _match(plain, _plain(label)) for label in labels]


def _match(classes: list[str], label: str) -> int | None:
    if not label:
        return None
    if label in classes:
        return classes.index(label)
    prefixes = [name for name in classes if name and label.startswith(f"{name}_")]
    return classes.index(max(prefixes, key=len)) if prefixes else None


def match_person(classes: Sequence[str], person: str) -> int | None:
    """The class or enrolled name of a person: the very same name, else '7', 'person7' and 'Person 7' are one."""
    if person in classes:
        return classes.index(person)
    plain = [_plain(name) for name in classes]
    wanted = _plain(person)
    for form in (wanted, f"person{wanted}", f"person_{wanted}", wanted.removeprefix("person").strip("_")):
        if form and form in plain:
            return plain.index(form)
    return None
