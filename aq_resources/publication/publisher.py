"""Writes a publication: first the files, then the manifest that names them.

A reader that follows the manifest has the files of one publication, the old or the new one. What no
manifest names any more stays for a while, for readers of the manifest before.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aq_resources.documents.forms import Answer, Format, encode
from aq_resources.failures import PermanentFailure
from aq_resources.publication.manifest import (
    NAME,
    ROOT,
    Manifest,
    PublishedFile,
    digest,
    manifest_key,
    read_manifest,
    write_manifest,
)
from aq_resources.stores.object_store import MissingObject, ObjectStore, WebHeaders

# Names hold the hash of the bytes: a cache may keep them for as long as it likes.
_IMMUTABLE = "public, max-age=31536000, immutable"
# A new hour has to be found soon; a cache that asks again mostly hears that nothing changed.
_FOR_SECONDS = "public, max-age=5"
_COMPRESSED = {Format.json, Format.geojson}
_HASH_LENGTH = 32
_GZIP_LEVEL = 6


class Publisher:
    """Writes the publication of one network, or with the empty name that over all."""

    def __init__(self, store: ObjectStore, network: str = "") -> None:
        """Reads the present manifest, if there is one that can be read.

        Args:
            store: Where everything is kept.
            network: Whose publication.
        """
        self.store = store
        self.network = network
        self.before = stored_manifest(store, network) or Manifest()
        self._kept = self.before.keys
        # Several threads add to it.
        self._written: set[str] = set()

    @property
    def written(self) -> int:
        """Files written so far."""
        return len(self._written)

    def publish(
        self, name: str, answer: Answer, forms: Iterable[Format]
    ) -> dict[str, PublishedFile]:
        """Write an answer in some forms, as far as the same bytes are not published already.

        Args:
            name: Such as `latest` or `daily_averages/2024-03`.
            answer: Its rows and whom to credit.
            forms: Which.

        Returns:
            The files by name.
        """
        return {
            f"{name}.{form.value}": self._file(name, form, encode(answer, form), answer.rows.height)
            for form in forms
        }

    def switch(self, manifest: Manifest) -> bool:
        """Replace the manifest, from which moment on the new files are what is published.

        Returns:
            Whether it differs from the one before; only then is it written.
        """
        if manifest == self.before:
            return False
        self.store.publish(
            manifest_key(self.network),
            write_manifest(manifest),
            WebHeaders("application/json", _FOR_SECONDS),
        )
        self.before, self._kept = manifest, manifest.keys
        return True

    def _file(self, name: str, form: Format, data: bytes, rows: int) -> PublishedFile:
        sha256 = digest(data)
        parts = (self.network, f"{name}.{sha256[:_HASH_LENGTH]}.{form.value}")
        key = "/".join(filter(None, parts))
        twin = f"{key}.gz" if form in _COMPRESSED else None
        self._put(key, data, form.media_type)
        if twin is not None and twin not in self._kept:
            packed = gzip.compress(data, _GZIP_LEVEL, mtime=0)
            self._put(twin, packed, form.media_type, "gzip")
        return PublishedFile(
            key=key,
            media_type=form.media_type,
            size=len(data),
            sha256=sha256,
            rows=rows,
            gzip=twin,
        )

    def _put(self, key: str, data: bytes, media_type: str, encoding: str = "") -> None:
        # What is not in the manifest is written again even if it is there: it may be about to go.
        if key not in self._kept:
            headers = WebHeaders(media_type, _IMMUTABLE, encoding)
            self.store.publish(f"{ROOT}/{key}", data, headers)
            self._written.add(key)


def stored_manifest(store: ObjectStore, network: str = "") -> Manifest | None:
    """The manifest as it is; None where there is none, or none that can be read."""
    key = manifest_key(network)
    try:
        return read_manifest(store.get(key), store.uri(key))
    except (MissingObject, PermanentFailure):
        return None


def merged(manifests: Mapping[str, Manifest], own: Mapping[str, PublishedFile]) -> Manifest:
    """The manifest over all networks.

    Args:
        manifests: Those of the networks, by name.
        own: Files over all networks.

    Returns:
        Their files as `<network>/<name>`, and the own ones as they are called.
    """
    files = {
        f"{network}/{name}": file
        for network, manifest in sorted(manifests.items())
        for name, file in manifest.files.items()
    }
    return Manifest(
        newest_hour=_newest(one.newest_hour for one in manifests.values()),
        newest_issue=_newest(one.newest_issue for one in manifests.values()),
        files={**own, **files},
    )


@dataclass
class Removed:
    """Files and bytes before and after."""

    files_before: int = 0
    files_after: int = 0
    size_bytes_before: int = 0
    size_bytes_after: int = 0


def remove_unneeded(store: ObjectStore, networks: Iterable[str], before: datetime) -> Removed:
    """Remove published files that no manifest names and that were written before a time.

    Args:
        store: Where everything is kept.
        networks: Those that publish.
        before: Younger files stay: a publication may be about to name them.

    Returns:
        How many there were and are.

    Raises:
        PermanentFailure: A manifest cannot be read, so that no one knows what it needs.
    """
    written = store.modified(ROOT)
    sizes = store.sizes(ROOT)
    needed = {f"{ROOT}/{key}" for network in ("", *networks) for key in _needed(store, network)}
    found = Removed(files_before=len(written), size_bytes_before=sum(sizes.values()))
    for key, at in written.items():
        size = sizes.get(key, 0)
        if at < before and key not in needed and not key.endswith(f"/{NAME}"):
            store.delete(key)
        else:
            found.files_after += 1
            found.size_bytes_after += size
    return found


def _needed(store: ObjectStore, network: str) -> set[str]:
    key = manifest_key(network)
    try:
        return read_manifest(store.get(key), store.uri(key)).keys
    except MissingObject:
        return set()


def _newest(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)
