"""Addresses of entities: read as the standard's resource paths, and written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from aq_serving.problems import ProblemError, not_found

ROOT = "/sensorthings/v1.1"
_MOST_SEGMENTS = 20
# A name, and in brackets an identifier: text in quotes, in which two stand for one.
_SEGMENT = re.compile(r"/(\$?[A-Za-z_]\w*)(?:\((?:'((?:[^']|'')*)'|([^()'/]*))\))?")


@dataclass(frozen=True)
class Segment:
    """A step of a path.

    Attributes:
        name: Of a set, a relation or a property; `$ref`, `$value` and `$count` too.
        key: Identifier in brackets.
    """

    name: str
    key: str | None = None


def parse_path(path: str) -> list[Segment]:
    """The steps of a path behind the root.

    Args:
        path: Decoded; empty or `/` for the root itself.

    Returns:
        The steps; none for the root.

    Raises:
        ProblemError: It is no path of the standard's.

    >>> parse_path("/Things('a''b')/Datastreams")
    [Segment(name='Things', key="a'b"), Segment(name='Datastreams', key=None)]
    """
    rest = path.rstrip("/")
    found: list[Segment] = []
    while rest:
        match = _SEGMENT.match(rest)
        if match is None or len(found) == _MOST_SEGMENTS:
            raise no_such_path()
        rest = rest[match.end() :]
        if rest and not rest.startswith("/"):
            raise no_such_path()
        name, quoted, plain = match.groups()
        key = plain if quoted is None else quoted.replace("''", "'")
        found.append(Segment(name, key))
    return found


def no_such_path() -> ProblemError:
    """The refusal of a path that leads nowhere."""
    return not_found(
        f"There is no such resource. {ROOT} lists the sets; an entity is Things('airqino:1'), what "
        "is related to it Things('airqino:1')/Datastreams."
    )


def entity_address(base: str, name: str, key: str) -> str:
    """Address of an entity.

    Args:
        base: Address of the root.
        name: Of its set.
        key: Its identifier.

    Returns:
        The address.

    >>> entity_address("http://h/v1.1", "Things", "airqino:o'neil/1")
    "http://h/v1.1/Things('airqino:o%27%27neil%2F1')"
    """
    return f"{base}/{name}('{quote(key.replace(chr(39), chr(39) * 2), safe=':')}')"
