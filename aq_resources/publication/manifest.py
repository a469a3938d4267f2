"""Manifests: which published files belong together.

`publication/manifest.json` names the files of all networks, `publication/<network>/manifest.json`
those of one. A file's name holds the hash of what is in it, so that it never changes; a manifest
is replaced whole. Who reads one manifest, and the files that it names, has one publication.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from aq_resources.decoders import decoder_of
from aq_resources.failures import PermanentFailure

ROOT = "publication"
NAME = "manifest.json"
VERSION = 1


class PublishedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, by its key below `publication/`; `gzip` is that of the same bytes compressed."""

    key: str
    media_type: str
    size: int
    sha256: str
    rows: int
    gzip: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a publication by name, such as `latest.json`, and how recent they are.

    `months` says what the daily averages of each month were made from, so that only changed months
    are written again.
    """

    version: int = VERSION
    newest_hour: datetime | None = None
    newest_issue: datetime | None = None
    files: dict[str, PublishedFile] = {}
    months: dict[str, str] = {}

    @property
    def keys(self) -> set[str]:
        """Every key that it names."""
        return {
            key for file in self.files.values() for key in (file.key, file.gzip) if key is not None
        }


def manifest_key(network: str = "") -> str:
    """Key of a network's manifest in the object store; of that over all without one."""
    return "/".join(filter(None, (ROOT, network, NAME)))


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON; the same files give the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)


def read_manifest(data: bytes, where: str) -> Manifest:
    """A manifest from its bytes.

    Raises:
        PermanentFailure: They are none, or of a version that this program does not know.
    """
    try:
        manifest = decoder_of(Manifest).decode(data)
    except msgspec.MsgspecError as error:
        raise PermanentFailure(
            f"{where} is no manifest of a publication ({error}). Materialize the network's "
            "`publication` again."
        ) from None
    if manifest.version != VERSION:
        raise PermanentFailure(
            f"{where} has the form {manifest.version}, and this program reads {VERSION}: use the "
            "version of the platform that wrote it."
        )
    return manifest


def digest(data: bytes) -> str:
    """SHA-256, by which files are named and checked."""
    return hashlib.sha256(data).hexdigest()
