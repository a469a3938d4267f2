"""Reads a publication as it was written, or says what is wrong with it."""

from __future__ import annotations

import gzip
import io

import polars as pl

from aq_resources.failures import PermanentFailure
from aq_resources.publication.manifest import ROOT, PublishedFile, digest
from aq_resources.stores.object_store import ObjectStore


class DamagedFile(PermanentFailure):
    """A published file does not hold what was published."""


def read_file(store: ObjectStore, file: PublishedFile) -> bytes:
    """The bytes of a published file.

    Raises:
        DamagedFile: They are others than those that were published.
        MissingObject: It is not there.
    """
    key = f"{ROOT}/{file.key}"
    data = store.get(key)
    if len(data) != file.size or digest(data) != file.sha256:
        raise DamagedFile(
            f"{store.uri(key)} is not what was published. Delete it, and materialize the "
            "publication again."
        )
    return data


def read_compressed(store: ObjectStore, file: PublishedFile, data: bytes) -> bytes | None:
    """The compressed twin of a file; None where it has none.

    Args:
        store: Where it is.
        file: Which.
        data: What it has to hold.

    Returns:
        The compressed bytes.

    Raises:
        DamagedFile: It holds something else.
    """
    if file.gzip is None:
        return None
    key = f"{ROOT}/{file.gzip}"
    packed = store.get(key)
    try:
        same = gzip.decompress(packed) == data
    except (OSError, EOFError):
        same = False
    if not same:
        raise DamagedFile(f"{store.uri(key)} is not what was published.")
    return packed


def read_rows(store: ObjectStore, file: PublishedFile) -> pl.DataFrame:
    """The rows of a published Parquet file.

    Raises:
        DamagedFile: It does not hold what was published.
    """
    return pl.read_parquet(io.BytesIO(read_file(store, file)))
