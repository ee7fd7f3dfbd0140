"""Matches the labels and subjects of recordings to the names that a model predicts."""

from __future__ import annotations

from collections.abc import Sequence

from aether_temporal._internal.summary import plain_name


def match_labels(classes: Sequence[str], labels: Sequence[str]) -> list[int | None]:
    """For each label the index of its class, or None.

    Case and punctuation do not matter. A label that is no class matches the longest class name that it starts with, so
    WALKING_RX is walking for a model that does not distinguish sides.
    """
    plain = [plain_name(name) for name in classes]
    return [classes.index(label) if label in classes else _match(plain, plain_name(label)) for label in labels]


def _match(classes: list[str], label: str) -> int | None:
    if not label:
        return None
    if label in classes:
        return classes.index(label)
    prefixes = [name for name in classes if name and label.startswith(f"{name}_")]
    return classes.index(max(prefixes, key=len)) if prefixes else None


def match_subject(classes: Sequence[str], subject: str) -> int | None:
    """The index of a subject among classes or enrolled names, or None.

    An identical name comes first; otherwise '7', 'subject7' and 'Subject 7' are the same.
    """
    if subject in classes:
        return classes.index(subject)
    plain = [plain_name(name) for name in classes]
    wanted = plain_name(subject)
    for form in (wanted, f"subject{wanted}", f"subject_{wanted}", wanted.removeprefix("subject").strip("_")):
        if form and form in plain:
            return plain.index(form)
    return None
