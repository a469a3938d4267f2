"""Files of keys: what is handed out once is kept as a hash, and a running server follows changes.

Keys have 256 random bits, so that one SHA-256 says all: there is nothing to guess that a slow hash
would have to protect.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from aq_resources.failures import SettingsError
from aq_resources.http.state_file import StateFile

Key = TypeVar("Key")
_LOG = logging.getLogger("aq.keys")


class KeyFile(StateFile[dict[str, Key]]):
    """Keys by name, for the owner of the file alone."""

    def __init__(
        self,
        path: Path,
        kind: type[dict[str, Key]],
        former: Callable[[str], dict[str, Key] | None] = lambda _: None,
    ) -> None:
        """Opens nothing.

        Args:
            path: The file.
            kind: Type of the keys by name, as msgspec decodes it.
            former: Reads a file of an earlier form; None where it is of none.
        """
        super().__init__(path, kind, dict, mode=0o600)
        self._former = former

    def read(self) -> dict[str, Key]:
        """The keys; none where there is no file.

        Raises:
            SettingsError: It cannot be read as keys, and must not be taken for an empty one.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            former = self._former(data.decode())
            return self._decoder.decode(data) if former is None else former
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{self.path} is no file of keys ({error}): put a copy of it back, or remove it "
                "and hand out new keys."
            ) from None


class KeyRing(Generic[Key]):
    """The keys as the file has them; a change counts from the next look on."""

    def __init__(self, file: KeyFile[Key]) -> None:
        self._file = file
        self.keys: dict[str, Key] = {}
        # Changes whenever the keys do.
        self.version: object = None

    def refresh(self) -> None:
        """Read the file where it has changed; one that cannot be read changes nothing."""
        version = _version(self._file.path)
        if version == self.version:
            return
        try:
            self.keys = self._file.read()
        except (SettingsError, OSError) as failure:
            _LOG.error("The keys stay as they were: %s", failure)
        self.version = version


def hashed(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
