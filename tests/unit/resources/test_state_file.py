"""A value that processes share: whole or absent, never half, and lost without harm."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import Popen

import msgspec
import pytest

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.state_file import StateFile


class Counts(msgspec.Struct):
    by_name: dict[str, int] = {}


def counts(path: Path) -> StateFile[Counts]:
    return StateFile(path / "kept" / "counts.json", Counts, Counts)


def test_opening_and_reading_make_nothing(tmp_path: Path) -> None:
    assert counts(tmp_path).read() == Counts()
    assert list(tmp_path.iterdir()) == []


def test_another_object_reads_what_was_written(tmp_path: Path) -> None:
    counts(tmp_path).write(Counts({"a": 1}))
    assert counts(tmp_path).read() == Counts({"a": 1})
    with counts(tmp_path).updated() as value:
        value.by_name["b"] = 2
    assert counts(tmp_path).read() == Counts({"a": 1, "b": 2})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b'{"by_name": {"a": "many"}}', b"null"], ids=repr
)
def test_a_file_of_another_form_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    file = counts(tmp_path)
    file.write(Counts({"a": 1}))
    file.path.write_bytes(content)
    assert file.read() == Counts()
    with file.updated() as value:
        value.by_name["b"] = 2
    assert file.read() == Counts({"b": 2})


def test_what_is_read_without_a_change_is_not_written(tmp_path: Path) -> None:
    file = counts(tmp_path)
    with file.updated():
        pass
    assert not file.path.exists()


def test_a_failure_while_changing_keeps_the_old_value(tmp_path: Path) -> None:
    file = counts(tmp_path)
    file.write(Counts({"a": 1}))
    with pytest.raises(RuntimeError), file.updated() as value:
        value.by_name["a"] = 2
        raise RuntimeError
    assert file.read() == Counts({"a": 1})
    file.write(Counts({"a": 3}))
    assert [path.name for path in sorted(file.path.parent.iterdir())] == [
        "counts.json",
        "counts.json.lock",
    ]


@pytest.mark.parametrize(
    ("code", "failure", "says"),
    [(28, TransientFailure, "The disk is full"), (13, PermanentFailure, "cannot be written")],
)
def test_a_write_that_fails_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    failure: type[Exception],
    says: str,
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(failure, match=says):
        counts(tmp_path).write(Counts())


COUNTING = """
import sys
from pathlib import Path
from aq_resources.http.state_file import StateFile
file = StateFile(Path(sys.argv[1]), dict[str, int], dict, poll=0.001)
for _ in range(50):
    with file.updated() as value:
        value["n"] = value.get("n", 0) + 1
"""


@pytest.mark.server
def test_processes_lose_no_change(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    processes = [Popen([sys.executable, "-c", COUNTING, str(path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert StateFile(path, dict[str, int], dict).read() == {"n": 150}
