"""Scripts of what the subject does: lists of (activity, seconds)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ACTIVITIES = ("empty", "still", "walking", "waving", "falling")
"""The labels: nobody there; standing or lying still, breathing; walking; waving one arm; falling down."""

Script = Sequence[tuple[str, float]]


def check(script: Script) -> None:
    """ValueError for an unknown activity, a duration that is not above 0, an empty script, or "empty" after an
    activity."""
    if not script:
        raise ValueError("script: expected at least one activity, found none")
    for place, (activity, seconds) in enumerate(script):
        if activity not in ACTIVITIES:
            raise ValueError(f"script[{place}]: expected one of {', '.join(ACTIVITIES)}; found {activity!r}")
        if not 0 < seconds < float("inf"):
            raise ValueError(f"script[{place}]: expected seconds above 0, found {seconds}")
        if activity == "empty" and place and script[place - 1][0] != "empty":
            raise ValueError(f"script[{place}]: expected 'empty' at the beginning only, found it after an activity")


def random_script(generator: np.random.Generator) -> list[tuple[str, float]]:
    """A script of about 15 to 25 seconds in which no activity except a fall predicts the next.

    After a fall the subject stays lying.
    """
    script: list[tuple[str, float]] = []
    if generator.random() < 0.5:
        script.append(("empty", float(generator.uniform(4.0, 8.0))))
    for _ in range(int(generator.integers(3, 5))):
        choices = [a for a in ("still", "walking", "waving") if not script or a != script[-1][0]]
        script.append((str(generator.choice(choices)), float(generator.uniform(4.0, 8.0))))
    return [*script, ("falling", 2.0), ("still", float(generator.uniform(3.0, 6.0)))]


def demo_script() -> list[tuple[str, float]]:
    """Every activity once or twice, in 24 seconds."""
    return [
        ("empty", 4.0),
        ("walking", 5.0),
        ("still", 4.0),
        ("waving", 4.0),
        ("walking", 2.0),
        ("falling", 2.0),
        ("still", 3.0),
    ]
