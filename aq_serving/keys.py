"""API keys: made at random, handed out once, kept as hashes in a file.

A line of the file is a name and the SHA-256 of its key. The keys have 256 random bits, so that no
slow hash is needed to keep them from being guessed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from aq_resources.failures import SettingsError

_NAME = re.compile(r"[\w.@-]{1,64}")
_LINE = re.compile(r"([\w.@-]{1,64}) ([0-9a-f]{64})")
_PREFIX = "aq_"
_LOG = logging.getLogger("aq.serving")


class KeyFile:
    """The file, as the command changes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, str]:
        """Names by hash; lines that are none are left out, with a word in the log."""
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return {}
        found = {}
        for number, line in enumerate(lines, 1):
            if match := _LINE.fullmatch(line.strip()):
                found[match[2]] = match[1]
            elif line.strip():
                _LOG.warning(
                    "%s, line %s, is no name and hash, and is left out.", self.path, number
                )
        return found

    def add(self, name: str) -> str:
        """Make a key, and keep its hash.

        Returns:
            The key, which is kept nowhere.

        Raises:
            SettingsError: The name is none, or taken.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError("A key's name has letters, digits, and . @ _ - in it, 64 at most.")
        key = _PREFIX + secrets.token_urlsafe(32)
        with self._held() as _:
            known = self.read()
            if name in known.values():
                raise SettingsError(f"There is a key of the name {name}. Remove it first.")
            self._write([*((text, digest) for digest, text in known.items()), (name, hashed(key))])
        return key

    def remove(self, name: str) -> None:
        """Take a key back.

        Raises:
            SettingsError: There is none of this name.
        """
        with self._held() as _:
            known = self.read()
            if name not in known.values():
                raise SettingsError(f"There is no key of the name {name}; `aq keys list` has all.")
            self._write((text, digest) for digest, text in known.items() if text != name)

    def _held(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.path}.lock")

    def _write(self, entries: Iterable[tuple[str, str]]) -> None:
        unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        unfinished.touch(0o600)
        unfinished.write_text("".join(f"{name} {digest}\n" for name, digest in entries), "utf-8")
        unfinished.replace(self.path)


class ApiKeys:
    """The keys as the server knows them; read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._file = KeyFile(path)
        self._names: dict[str, str] = {}
        # Changes whenever the keys do.
        self.version: object = None

    def look(self) -> None:
        """Take over the file if it changed."""
        try:
            stat = self._file.path.stat()
            version: object = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except FileNotFoundError:
            version = None
        if version != self.version:
            self._names = self._file.read()
            self.version = version

    def name(self, key: str) -> str | None:
        """Whose key it is; None where it is none."""
        return self._names.get(hashed(key))


def hashed(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
