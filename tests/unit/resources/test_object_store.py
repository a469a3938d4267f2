"""Objects: the same laws on a folder and on a real S3, and clear words when writing fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import boto3
import polars as pl
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.stores.object_store import LocalObjectStore, ObjectStore, open_object_store
from tests.laws import examples
from tests.servers.s3 import S3Server


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_what_is_put_is_got(store: ObjectStore, data: bytes) -> None:
    store.put("a/b.bin", data)
    assert store.get("a/b.bin") == data


def test_put_again_replaces(store: ObjectStore) -> None:
    store.put("a/b", b"a long first content")
    store.put("a/b", b"new")
    assert store.get("a/b") == b"new"
    assert store.keys("a") == ["a/b"]


def test_a_file_is_put_as_its_bytes_are(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"a long first content", b""):
        path.write_bytes(content)
        store.put_file("a/b", path)
        assert store.get("a/b") == content
    assert store.keys("a") == ["a/b"]


def test_put_without_overwrite_never_replaces(store: ObjectStore) -> None:
    store.put("a/b", b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        store.put("a/b", b"second", overwrite=False)
    assert store.get("a/b") == b"first"
    assert store.keys("a") == ["a/b"]


def test_of_many_that_may_not_overwrite_one_wins(store: ObjectStore) -> None:
    def put(n: int) -> bool:
        try:
            store.put("a/b", b"%d" % n, overwrite=False)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(put, range(8)))
    assert sum(won) == 1
    assert store.get("a/b") == b"%d" % won.index(True)


def test_readers_see_a_whole_object_while_it_is_replaced(store: ObjectStore) -> None:
    contents = {bytes([letter]) * 200_000 for letter in b"ab"}
    store.put("a/b", min(contents))

    def replace(_: int) -> None:
        for content in contents:
            store.put("a/b", content)

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(replace, 0)
        seen = {store.get("a/b") for _ in range(20)}
        writing.result()
    assert seen <= contents


def test_missing_key_is_named_with_the_mend(store: ObjectStore) -> None:
    with pytest.raises(PermanentFailure) as raised:
        store.get("a/nothing")
    assert store.uri("a/nothing") in raised.value.message
    assert "Materialize" in raised.value.message
    assert raised.value.allow_retries is False


def test_exists(store: ObjectStore) -> None:
    store.put("a/b", b"")
    assert store.exists("a/b")
    assert not store.exists("a/c")
    assert not store.exists("a")


def test_delete(store: ObjectStore) -> None:
    store.put("a/x/b", b"")
    store.delete("a/x/b")
    store.delete("a/x/b")  # none is no error
    assert not store.exists("a/x/b")
    assert store.keys("a") == []


def test_keys_are_those_below_the_folder_in_order(store: ObjectStore) -> None:
    for key in ("n/t/date=2/b", "n/t/date=1/b", "n/t/date=1/a", "n/tables/x", "n/t2", "m/t/x"):
        store.put(key, b"")
    assert store.keys("n/t") == ["n/t/date=1/a", "n/t/date=1/b", "n/t/date=2/b"]
    assert store.keys("n/t/date=1/") == ["n/t/date=1/a", "n/t/date=1/b"]
    assert store.keys("nowhere") == []


def test_folders_are_those_right_below_in_order(store: ObjectStore) -> None:
    for day in ("2024-01-03", "2024-01-01", "2024-01-02"):
        store.put(f"n/t/date={day}/part/x", b"")
    store.put("n/t/file", b"")
    store.put("n/t2/date=2023-01-01/x", b"")
    days = [f"date=2024-01-0{n}" for n in (1, 2, 3)]
    assert store.folders("n/t") == days
    assert store.folders("n/t", start_after=days[0]) == days[1:]
    assert store.folders("n/t", start_after=days[2]) == []
    assert store.folders("nowhere") == []


def test_a_version_changes_when_an_object_is_written_again(store: ObjectStore) -> None:
    keys = [f"v/t/date=2024-01-0{n}/x.parquet" for n in (1, 2, 3)]
    for key in keys:
        store.put(key, b"one")
    before = store.versions("v/t")
    assert list(before) == keys
    assert {one.size for one in before.values()} == {3}
    assert store.versions("v/t", start_after="date=2024-01-01") == {
        key: before[key] for key in keys[1:]
    }
    store.put(keys[1], b"two")
    after = store.versions("v/t")
    assert after.pop(keys[1]) != before.pop(keys[1])
    assert after == before
    assert store.versions("nowhere") == {}


def test_listing_goes_beyond_one_page(store: ObjectStore) -> None:
    """S3 lists 1,000 at a time."""
    names = [f"date={n:05d}" for n in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(f"n/t/{name}/x", b""), names))
    assert store.folders("n/t") == names
    assert store.keys("n/t") == [f"n/t/{name}/x" for name in names]


def test_polars_reads_an_object_by_its_address(store: ObjectStore, tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, 2]})
    frame.write_parquet(tmp_path / "x.parquet")
    store.put("a/x.parquet", (tmp_path / "x.parquet").read_bytes())
    options = store.storage_options or None
    assert (
        pl.scan_parquet(store.uri("a/x.parquet"), storage_options=options).collect().equals(frame)
    )


# What only a folder can suffer


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        yield


def left_behind(store: LocalObjectStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["full", "quota"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_is_told_and_leaves_nothing(
    local: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    local.put("n/t/old/x", b"old")
    with failing(monkeypatch, call, code):
        for key in ("n/t/old/x", "n/t/new/x"):
            with pytest.raises(TransientFailure) as raised:
                local.put(key, b"new")
            assert "disk is full" in raised.value.message
            assert str(local.root / key) in raised.value.message
            assert raised.value.allow_retries is True
    assert local.get("n/t/old/x") == b"old"
    assert left_behind(local) == [local.root / "n/t/old/x"]
    # A folder that a write was meant to begin must not look like one that has been written.
    assert local.folders("n/t") == ["old"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_forbidden_write_is_told_with_the_mend(
    local: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with failing(monkeypatch, "fsync", code), pytest.raises(PermanentFailure) as raised:
        local.put("a/b", b"")
    assert "cannot be written" in raised.value.message
    assert "AQ_HOME or AQ_OBJECT_STORE" in raised.value.message
    assert left_behind(local) == []


def test_folder_of_somebody_else(local: LocalObjectStore) -> None:
    local.put("a/b", b"old")
    (local.root / "a").chmod(0o555)
    own = os.geteuid()
    try:
        if own == 0:
            os.seteuid(65534)  # the folder of pytest is closed to others
        with pytest.raises(PermanentFailure, match="cannot be written"):
            local.put("a/c", b"new")
    finally:
        if own == 0:
            os.seteuid(own)
        (local.root / "a").chmod(0o755)
    assert local.keys("a") == ["a/b"]


def test_another_error_of_the_disk_is_not_renamed(
    local: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing(monkeypatch, "fsync", errno.EIO), pytest.raises(OSError) as raised:
        local.put("a/b", b"")
    assert raised.value.errno == errno.EIO
    assert left_behind(local) == []


def test_unfinished_write_is_invisible(local: LocalObjectStore) -> None:
    """As a killed process leaves it."""
    local.put("n/t/one/x", b"")
    for folder in ("one", "two"):
        (local.root / "n/t" / folder).mkdir(exist_ok=True)
        (local.root / "n/t" / folder / ".unfinished-abc").write_bytes(b"half")
    assert local.keys("n/t") == ["n/t/one/x"]
    assert local.folders("n/t") == ["one"]


def test_folder_whose_last_object_is_deleted_is_gone(local: LocalObjectStore) -> None:
    local.put("a/x/b", b"")
    local.delete("a/x/b")
    assert local.folders("a") == []


def test_address_with_escapes_is_the_folder_it_names(tmp_path: Path) -> None:
    store = open_object_store(f"file://{tmp_path}/with%20space")
    store.put("a", b"x")
    assert (tmp_path / "with space" / "a").read_bytes() == b"x"


# What only S3 can answer


def test_bucket_that_does_not_exist(s3: S3Server, s3_bucket: str) -> None:
    store = open_object_store("s3://no-such-bucket/x", s3.endpoint_url)
    for attempt in (
        lambda: store.put("a", b""),
        lambda: store.get("a"),
        lambda: store.keys("a"),
        lambda: store.folders("a"),
    ):
        with pytest.raises(PermanentFailure) as raised:
            attempt()
        assert "The S3 bucket 'no-such-bucket' does not exist" in raised.value.message
        assert "AQ_OBJECT_STORE" in raised.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_SECRET_ACCESS_KEY", "wrong-secret"), ("AWS_ACCESS_KEY_ID", "AKNOBODY")],
    ids=["secret", "key"],
)
def test_wrong_credentials_are_told_without_telling_them(
    s3: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    store = open_object_store(f"s3://{s3_bucket}", s3.endpoint_url)
    for attempt in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.exists("a")):
        with pytest.raises(PermanentFailure) as raised:
            attempt()
        assert f"S3 refuses access to s3://{s3_bucket}/a" in raised.value.message
        assert "Check the AWS credentials" in raised.value.message
        assert "wrong-secret" not in raised.value.message
        assert s3.secret_key not in raised.value.message


def test_no_credentials_at_all(
    s3: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    boto3.DEFAULT_SESSION = None
    store = open_object_store(f"s3://{s3_bucket}", s3.endpoint_url)
    with pytest.raises(PermanentFailure, match="set AWS_ACCESS_KEY_ID"):
        store.put("a", b"")


def test_server_that_is_away_is_worth_a_retry(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_object_store(f"s3://{s3_bucket}", "http://127.0.0.1:1")
    with pytest.raises(TransientFailure, match=r"S3 at http://127\.0\.0\.1:1 cannot be reached"):
        store.get("a")


def test_prefix_stays_out_of_the_keys(s3: S3Server, s3_bucket: str) -> None:
    store = open_object_store(f"s3://{s3_bucket}/deep/er/", s3.endpoint_url)
    store.put("a/b", b"x")
    assert store.uri("a/b") == f"s3://{s3_bucket}/deep/er/a/b"
    whole = open_object_store(f"s3://{s3_bucket}", s3.endpoint_url)
    assert whole.keys("deep") == ["deep/er/a/b"]
    assert store.keys("a") == ["a/b"]


def test_what_a_killed_write_left_is_cleared_by_a_later_one(local: LocalObjectStore) -> None:
    local.put("n/t/first", b"1")
    abandoned, fresh = (local.root / "n/t" / f".unfinished-{name}" for name in ("old", "new"))
    for path in (abandoned, fresh):
        path.write_bytes(b"half")
    long_ago = path.stat().st_mtime - 7200
    os.utime(abandoned, (long_ago, long_ago))
    local.put("n/t/second", b"2")
    assert not abandoned.exists()
    # Somebody may be writing this one right now.
    assert fresh.exists()


def test_a_write_is_tried_again_until_patience_is_over(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_object_store(f"s3://{s3_bucket}", "http://127.0.0.1:1", patience=5.0)
    calls: list[str] = []

    class Away:
        """A client whose server is not there for the first calls."""

        def put_object(self, **_: object) -> None:
            calls.append("put")
            if len(calls) < 3:
                raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

        def get_object(self, **_: object) -> None:
            calls.append("get")
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    store.client = Away()  # type: ignore[attr-defined]
    store.put("a", b"")
    assert calls == ["put"] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    calls.clear()
    with pytest.raises(TransientFailure):
        store.get("a")
    assert calls == ["get"]
    impatient = open_object_store(f"s3://{s3_bucket}", "http://127.0.0.1:1")
    impatient.client = Away()  # type: ignore[attr-defined]
    with pytest.raises(TransientFailure):
        impatient.put("a", b"")
