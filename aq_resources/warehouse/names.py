"""Names in the lake, and text as SQL: what also those need who know none of its tables."""

from __future__ import annotations

LAKE = "lake"
UNION_SCHEMA = "air_quality"


def quoted(text: str) -> str:
    """The text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
