"""Keys of the API: made at random, named, handed out once."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

import msgspec

from aq_resources.failures import SettingsError
from aq_resources.keys import KeyFile, KeyRing, hashed

_NAME = re.compile(r"[\w.@-]{1,64}")
_LINE = re.compile(r"([\w.@-]{1,64}) ([0-9a-f]{64})")
_PREFIX = "aq_"
_LOG = logging.getLogger("aq.serving")


class ApiKey(msgspec.Struct, frozen=True):
    """What is kept of one key."""

    sha256: str


Keys = dict[str, ApiKey]


def api_key_file(path: Path) -> KeyFile[ApiKey]:
    """The file with all keys, by name."""
    return KeyFile(path, Keys, _of_lines)


def add_key(keys: Keys, name: str) -> str:
    """Make a key.

    Args:
        keys: Takes it.
        name: Whose it is.

    Returns:
        The key itself, which is kept nowhere.

    Raises:
        SettingsError: The name is none, or taken.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError("A key's name has letters, digits, and . @ _ - in it, 64 at most.")
    if name in keys:
        raise SettingsError(f"There is a key of the name {name}. Remove it first.")
    key = _PREFIX + secrets.token_urlsafe(32)
    keys[name] = ApiKey(hashed(key))
    return key


def remove_key(keys: Keys, name: str) -> None:
    """Take a key back.

    Raises:
        SettingsError: There is none of this name.
    """
    if keys.pop(name, None) is None:
        raise SettingsError(f"There is no key of the name {name}; `aq keys list` has all.")


class ApiKeys(KeyRing[ApiKey]):
    """The keys as the server knows them."""

    def __init__(self, path: Path) -> None:
        super().__init__(api_key_file(path))
        self._names: dict[str, str] = {}

    def refresh(self) -> None:
        before = self.keys
        super().refresh()
        if self.keys is not before:
            self._names = {key.sha256: name for name, key in self.keys.items()}

    def name(self, key: str) -> str | None:
        """Whose key it is; None where it is none."""
        return self._names.get(hashed(key))


def _of_lines(text: str) -> Keys | None:
    """Keys of the form before JSON, a name and a hash a line; None where the file is JSON."""
    if text.lstrip().startswith("{"):
        return None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _LINE.fullmatch(line.strip()):
            found[match[1]] = ApiKey(match[2])
        elif line.strip():
            _LOG.warning("Line %s of the API's keys is no name and hash, and is left out.", number)
    return found
