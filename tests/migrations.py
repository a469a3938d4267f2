"""Dagster's database migrations, read once a process.

A new or opened Dagster home asks for the newest of some ninety migration files, and each question
imports all of them anew: a quarter of a second, and the tests open hundreds of homes.
"""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

_read = ScriptDirectory.from_config
_known: dict[tuple[str | None, ...], ScriptDirectory] = {}


def _from_config(config: Config) -> ScriptDirectory:
    key = (
        config.get_alembic_option("script_location"),
        *map(str, config.get_version_locations_list() or ()),
    )
    if key not in _known:
        _known[key] = _read(config)
    return _known[key]


def read_once() -> None:
    """In this process, from here on."""
    ScriptDirectory.from_config = _from_config  # type: ignore[method-assign]
