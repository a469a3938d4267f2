"""Files and folders that are not the platform's: left where they are, and named once in the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

_log = logging.getLogger(__name__)
_NAMED: set[str] = set()


def own_names(root: str, names: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    """The names, or keys, whose last part is of the platform's form.

    A file manager, a synchronised folder or a hand's copy (`.DS_Store`, `@eaDir`,
    `date=2025-01-01 (copy)`) says nothing of the data, and must not count twice either.

    Args:
        root: Folder that they are in, for the log.
        names: In order.
        pattern: What the whole of the last part must be.

    Returns:
        Those of them, in the same order.
    """
    own: list[str] = []
    for name in names:
        if pattern.fullmatch(name.rsplit("/", 1)[-1]):
            own.append(name)
        elif (place := f"{root}: {name}") not in _NAMED:
            _NAMED.add(place)
            _log.warning("%s is not the platform's, and is left alone.", place)
    return own
