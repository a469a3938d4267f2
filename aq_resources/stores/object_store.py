"""Objects by key, in a local folder or an S3 bucket: same keys, every write whole or absent."""

from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol
from urllib.parse import unquote

from aq_resources.failures import PermanentFailure, TransientFailure

if TYPE_CHECKING:
    from tenacity import RetryCallState

# Keys that begin so are unfinished local writes; no listing shows them.
_UNFINISHED = ".unfinished-"
_ABANDONED_SECONDS = 3600.0
_log = logging.getLogger(__name__)


class MissingObject(PermanentFailure):
    """The key holds no object."""


@dataclass(frozen=True)
class WebHeaders:
    """Headers with which a web server hands out an object."""

    media_type: str
    cache_control: str
    encoding: str = ""


class Version(NamedTuple):
    """What a listing says of an object: its size, and a mark that changes when it is written."""

    size: int
    mark: str


class ObjectStore(Protocol):
    """What the platform needs of a store. Keys are relative, with `/` between parts."""

    def put(self, key: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write the whole object.

        Args:
            key: Where.
            data: Its bytes.
            overwrite: Whether an object of that key may be replaced.

        Raises:
            FileExistsError: there is one, and it may not be replaced.
        """

    def put_file(self, key: str, path: Path) -> None:
        """Write the whole object from a file, which need not fit into memory."""

    def publish(self, key: str, data: bytes, headers: WebHeaders) -> None:
        """Write the whole object, for web servers to hand out.

        Args:
            key: Where.
            data: Its bytes.
            headers: Kept with it where the store can.
        """

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises `MissingObject` naming a missing key."""

    def exists(self, key: str) -> bool:
        """Whether the key holds an object."""

    def delete(self, key: str) -> None:
        """Remove the object; none is no error."""

    def keys(self, prefix: str) -> list[str]:
        """Every key below the folder `prefix`, in order."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of every object below the folder `prefix`, by key in order."""

    def modified(self, prefix: str) -> dict[str, datetime]:
        """When every object below the folder `prefix` was written, UTC, by key in order."""

    def versions(self, prefix: str, start_after: str = "") -> dict[str, Version]:
        """Every object in the folders right below `prefix` that sort after `start_after`, by key.

        An object that was written again has another version.
        """

    def folders(self, prefix: str, start_after: str = "") -> list[str]:
        """Names of the folders right below `prefix` that sort after `start_after`."""

    def uri(self, key: str) -> str:
        """Address of the object for people, polars and DuckDB."""

    @property
    def storage_options(self) -> dict[str, str]:
        """What polars needs to read the store's addresses by itself."""


class LocalObjectStore:
    """Objects as files below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: bytes, *, overwrite: bool = True) -> None:
        self._put(key, io.BytesIO(data), overwrite=overwrite)

    def put_file(self, key: str, path: Path) -> None:
        with path.open("rb") as source:
            self._put(key, source, overwrite=True)

    def _put(self, key: str, source: BinaryIO, *, overwrite: bool) -> None:
        path = self._path(key)
        with translate_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear_unfinished(path.parent)
            handle, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    shutil.copyfileobj(source, file)
                    file.flush()
                    os.fsync(file.fileno())
                if overwrite:
                    Path(unfinished).replace(path)
                else:
                    # A hard link, unlike a rename, fails where the name is taken.
                    os.link(unfinished, path)
            finally:
                Path(unfinished).unlink(missing_ok=True)

    def publish(self, key: str, data: bytes, headers: WebHeaders) -> None:  # noqa: ARG002
        self.put(key, data)

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise _missing(self.uri(key)) from None

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        folder = self._path(prefix)
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(_UNFINISHED)
        )

    def sizes(self, prefix: str) -> dict[str, int]:
        found = {}
        for key in self.keys(prefix):
            with suppress(FileNotFoundError):
                found[key] = self._path(key).stat().st_size
        return found

    def modified(self, prefix: str) -> dict[str, datetime]:
        found = {}
        for key in self.keys(prefix):
            with suppress(FileNotFoundError):
                seconds = self._path(key).stat().st_mtime
                found[key] = datetime.fromtimestamp(seconds, UTC)
        return found

    def versions(self, prefix: str, start_after: str = "") -> dict[str, Version]:
        found = {}
        for name in self.folders(prefix, start_after):
            with suppress(FileNotFoundError), os.scandir(self._path(f"{prefix}/{name}")) as entries:
                for entry in entries:
                    if entry.is_file() and not entry.name.startswith(_UNFINISHED):
                        state = entry.stat()
                        # A write is a new file that is renamed.
                        mark = f"{state.st_mtime_ns}-{state.st_ino}"
                        found[f"{prefix}/{name}/{entry.name}"] = Version(state.st_size, mark)
        return found

    def folders(self, prefix: str, start_after: str = "") -> list[str]:
        folder = self._path(prefix)
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            below = [e for e in entries if e.name > start_after and e.is_dir()]
        # As on S3: a folder that a write left without an object does not exist.
        return sorted(entry.name for entry in below if _holds_object(entry.path))

    def uri(self, key: str) -> str:
        return str(self._path(key))

    @property
    def storage_options(self) -> dict[str, str]:
        return {}

    def _path(self, key: str) -> Path:
        return self.root / key


class S3ObjectStore:
    """Objects below `s3://bucket/prefix`; a PUT is atomic by the protocol.

    A write that S3 cannot take just now is tried again for `patience` seconds: what it holds was
    pulled and worked out already. Reads fail soon, since sensors and people wait for them.
    """

    def __init__(
        self, bucket: str, prefix: str, endpoint_url: str | None, patience: float = 0.0
    ) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.endpoint_url = endpoint_url
        import tenacity

        self._patiently = tenacity.Retrying(
            stop=tenacity.stop_after_delay(patience),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5.0),
            retry=tenacity.retry_if_exception_type(TransientFailure),
            before_sleep=_say_once,
            reraise=True,
        )

    @cached_property
    def client(self) -> Any:
        """The boto3 client that dagster-aws makes: retries, and path-style for own endpoints."""
        from dagster_aws.s3 import S3Resource

        return S3Resource(endpoint_url=self.endpoint_url, max_attempts=5).get_client()

    def put(self, key: str, data: bytes, *, overwrite: bool = True) -> None:
        self._put(key, data, {} if overwrite else {"IfNoneMatch": "*"})

    def publish(self, key: str, data: bytes, headers: WebHeaders) -> None:
        kept = {"ContentType": headers.media_type, "CacheControl": headers.cache_control}
        if headers.encoding:
            kept["ContentEncoding"] = headers.encoding
        self._put(key, data, kept)

    def put_file(self, key: str, path: Path) -> None:
        def once() -> None:
            with path.open("rb") as source, self._translate_errors(key):
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=source)

        self._patiently(once)

    def get(self, key: str) -> bytes:
        with self._translate_errors(key):
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)[
                "Body"
            ].read()
            return body

    def exists(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            with self._translate_errors(key):
                self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except PermanentFailure as failure:
            cause = failure.__cause__
            if isinstance(cause, ClientError) and _code(cause) in ("404", "NoSuchKey"):
                return False
            raise
        return True

    def delete(self, key: str) -> None:
        def once() -> None:
            with self._translate_errors(key):
                self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

        self._patiently(once)

    def keys(self, prefix: str) -> list[str]:
        return list(self.sizes(prefix))

    def sizes(self, prefix: str) -> dict[str, int]:
        return {key: entry["Size"] for key, entry in self._entries(prefix).items()}

    def modified(self, prefix: str) -> dict[str, datetime]:
        return {key: entry["LastModified"] for key, entry in self._entries(prefix).items()}

    def versions(self, prefix: str, start_after: str = "") -> dict[str, Version]:
        folder = prefix.rstrip("/") + "/"
        # What is in a folder sorts behind its name and "/", which is before "0".
        begin = {"StartAfter": f"{self.prefix}{folder}{start_after}0"} if start_after else {}
        found = (
            entry for page in self._pages(folder, **begin) for entry in page.get("Contents", [])
        )
        return {
            entry["Key"].removeprefix(self.prefix): Version(
                entry["Size"], f"{entry['ETag']}-{entry['LastModified'].timestamp()}"
            )
            for entry in found
        }

    def folders(self, prefix: str, start_after: str = "") -> list[str]:
        folder = prefix.rstrip("/") + "/"
        begin = {"StartAfter": self.prefix + folder + start_after} if start_after else {}
        names = (
            entry["Prefix"].removeprefix(self.prefix + folder).rstrip("/")
            for page in self._pages(folder, Delimiter="/", **begin)
            for entry in page.get("CommonPrefixes", [])
        )
        return sorted(name for name in names if name > start_after)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    @property
    def storage_options(self) -> dict[str, str]:
        return s3_options(self.endpoint_url)

    def _put(self, key: str, data: bytes, arguments: dict[str, str]) -> None:
        def once() -> None:
            with self._translate_errors(key):
                self.client.put_object(
                    Bucket=self.bucket, Key=self.prefix + key, Body=data, **arguments
                )

        self._patiently(once)

    def _entries(self, prefix: str) -> dict[str, dict[str, Any]]:
        found = {
            entry["Key"].removeprefix(self.prefix): entry
            for page in self._pages(prefix.rstrip("/") + "/")
            for entry in page.get("Contents", [])
        }
        return dict(sorted(found.items()))

    def _pages(self, prefix: str, **arguments: str) -> Iterator[dict[str, Any]]:
        paginator = self.client.get_paginator("list_objects_v2")
        with self._translate_errors(prefix):
            yield from paginator.paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix, **arguments
            )

    @contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        """Turn boto's errors into the platform's, naming address and remedy."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except NoCredentialsError as error:
            raise PermanentFailure(
                "No credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or give the machine a role."
            ) from error
        except ClientError as error:
            code = _code(error)
            if code in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
                raise FileExistsError(self.uri(key)) from error
            if code == "NoSuchBucket":
                raise PermanentFailure(
                    f"The S3 bucket {self.bucket!r} does not exist. Create it, or correct "
                    "AQ_OBJECT_STORE (and AQ_S3_ENDPOINT_URL)."
                ) from error
            if code in ("NoSuchKey", "404"):
                raise _missing(self.uri(key)) from error
            if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"):
                raise PermanentFailure(
                    f"S3 refuses access to {self.uri(key)} ({code}). Check the AWS credentials "
                    "and the bucket's policy."
                ) from error
            raise TransientFailure(f"S3 answered {code} for {self.uri(key)}") from error
        except BotoCoreError as error:
            raise TransientFailure(
                f"S3 at {self.endpoint_url or 'AWS'} cannot be reached for {self.uri(key)}: {error}"
            ) from error


def s3_options(endpoint_url: str | None) -> dict[str, str]:
    """Polars' object-store options for the credentials that boto3 finds."""
    import boto3

    session = boto3.Session()
    options = {"aws_region": session.region_name or "us-east-1"}
    if (credentials := session.get_credentials()) is not None:
        frozen = credentials.get_frozen_credentials()
        options["aws_access_key_id"] = frozen.access_key or ""
        options["aws_secret_access_key"] = frozen.secret_key or ""
        if frozen.token:
            options["aws_session_token"] = frozen.token
    if endpoint_url:
        options |= {
            "aws_endpoint_url": endpoint_url,
            "aws_allow_http": "true",
            "aws_virtual_hosted_style_request": "false",
        }
    return options


def open_object_store(
    url: str, s3_endpoint_url: str | None = None, patience: float = 0.0
) -> ObjectStore:
    """The store at an address. Opens no connection yet.

    Args:
        url: `file:///folder` or `s3://bucket/prefix`.
        s3_endpoint_url: Of an S3-compatible server; AWS without it.
        patience: Seconds for which a write that S3 cannot take is tried again.

    Returns:
        The store.
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        return S3ObjectStore(bucket, prefix.strip("/"), s3_endpoint_url, patience)
    # A folder's name may hold what would end the path of another address.
    return LocalObjectStore(Path(unquote(url.removeprefix("file://"))))


def _clear_unfinished(folder: Path) -> None:
    """Remove what a killed write left behind, long enough ago to be no one's work in progress."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.unlink()


def _holds_object(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(
            _holds_object(entry.path) if entry.is_dir() else not entry.name.startswith(_UNFINISHED)
            for entry in entries
        )


def _say_once(state: RetryCallState) -> None:
    """Say in the log why nothing seems to happen."""
    if state.attempt_number == 1 and state.outcome is not None:
        _log.warning("%s. Trying again for a while.", state.outcome.exception())


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _missing(uri: str) -> MissingObject:
    return MissingObject(f"{uri} does not exist. Materialize the partition it belongs to first.")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and a missing right to write into failures that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientFailure(
                f"The disk is full: {path} could not be written. Free space and run this "
                "again; nothing was half-written."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermanentFailure(
                f"{path} cannot be written ({error.strerror}). Give this user the right to "
                "write there, or point AQ_HOME or AQ_OBJECT_STORE elsewhere."
            ) from error
        raise
