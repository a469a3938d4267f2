"""How many examples a law is tried on, where it is not the profile's own number."""

from __future__ import annotations

from hypothesis import settings

# Hypothesis begins with the simplest.
_FEWEST = 3


def examples(number: int) -> int:
    """So many in the project's profile of a hundred; fewer or more in another, in proportion."""
    return max(_FEWEST, number * settings().max_examples // 100)
