"""How often Python looks for garbage that only its collector finds.

Imports, definitions and events make a million objects that stay. Python looks through the youngest
after every 700 of them, and through all of them now and then and as it ends: a second or more, for
nothing.
"""

from __future__ import annotations

import atexit
import gc

_OBJECTS = 50_000


def look_less_often() -> None:
    """Look after so many new objects, and not at the end; all else is freed as it was before."""
    gc.set_threshold(_OBJECTS, 20, 20)
    atexit.register(gc.freeze)
