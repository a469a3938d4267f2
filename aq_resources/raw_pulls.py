"""Raw pulls: every answer of a network as it came, append-only, as zstd-compressed JSON lines.

A file holds the answers of one pull, in a folder named for the days they cover::

    <network>/raw_pulls/date=YYYY-MM-DD/<pulled_at>.jsonl.zst
    <network>/raw_pulls/span=YYYY-MM-DD..YYYY-MM-DD/<pulled_at>.jsonl.zst   (both days included)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlparse

import msgspec
import zstandard

from aq_resources.object_store import ObjectStore
from aq_science.windows import Window

# One file is written whole from memory, so a long pull is cut into files of about this size.
FILE_BYTES = 32 * 1024 * 1024
_STAMP = "%Y%m%dT%H%M%S%fZ"


class RawAnswer(msgspec.Struct, frozen=True):
    """One answer, verbatim, with secrets stripped from ``url`` and ``params``."""

    url: str
    params: dict[str, str]
    window: tuple[datetime, datetime]
    pulled_at: datetime
    status: int
    body: str

    @property
    def request(self) -> tuple[str, str, Window]:
        """What was asked, wherever the server stood: such answers can be compared."""
        return (
            urlparse(self.url).path,
            msgspec.json.encode(self.params, order="sorted").decode(),
            self.covers,
        )

    @property
    def covers(self) -> Window:
        """The period asked for."""
        return Window(*self.window)

    @property
    def digest(self) -> str:
        """Identity of what was answered."""
        return hashlib.sha256(f"{self.status}\n{self.body}".encode()).hexdigest()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RawAnswer)


def folder_name(window: Window) -> str:
    """Name of the folder that keeps answers covering ``window``."""
    dates = window.dates
    if len(dates) == 1:
        return f"date={dates[0]}"
    return f"span={dates[0]}..{dates[-1]}"


def folder_window(name: str) -> Window:
    """The whole days that a folder of that name covers."""
    kind, _, days = name.partition("=")
    first, _, last = days.partition("..")
    if kind not in ("date", "span"):
        raise ValueError(f"{name!r} is no folder of raw pulls")
    return Window.of_days(date.fromisoformat(first), date.fromisoformat(last or first))


@dataclass
class Stored:
    """What a call of `RawPullStore.append` did."""

    answers: int = 0
    repeated: int = 0
    files: list[str] = field(default_factory=list)
    size_bytes: int = 0


class RawPullStore:
    """The raw pulls of one network."""

    def __init__(self, store: ObjectStore, network: str) -> None:
        self.store = store
        self.root = f"{network}/raw_pulls"

    def append(self, answers: Iterable[RawAnswer]) -> Stored:
        """Keep the answers, except those identical to what is already the newest word.

        Files are written as the answers arrive: a kill loses none of the earlier ones, and a
        failure of ``answers`` none that came before it.
        """
        done = Stored()
        known: dict[str, _Newest] = {}
        pending: list[RawAnswer] = []
        size = 0
        try:
            for answer in answers:
                name = folder_name(answer.covers)
                if name not in known:
                    known[name] = self._newest(name)
                if known[name].repeats(answer):
                    done.repeated += 1
                    continue
                if pending and (folder_name(pending[0].covers) != name or size > FILE_BYTES):
                    full, pending, size = pending, [], 0
                    self._write(full, done)
                pending.append(answer)
                size += len(answer.body)
        finally:
            if pending:
                self._write(pending, done)
        return done

    def folders(self, window: Window) -> list[str]:
        """Folders whose answers cover some of ``window``."""
        return [
            name for name in self.store.folders(self.root) if folder_window(name).overlaps(window)
        ]

    def read(self, folder: str) -> Iterator[RawAnswer]:
        """Every answer of a folder, in the order received."""
        for key in self.store.keys(f"{self.root}/{folder}"):
            yield from self._answers(key)

    def _answers(self, key: str) -> Iterator[RawAnswer]:
        data = zstandard.ZstdDecompressor().decompressobj().decompress(self.store.get(key))
        for line in data.splitlines():
            yield _decoder.decode(line)

    def _newest(self, name: str) -> _Newest:
        """The last stored answer to each request of a folder, and the newest pull over its days."""
        last: dict[tuple[str, str, Window], tuple[datetime, str]] = {}
        for answer in self.read(name):
            previous = last.get(answer.request)
            if previous is None or previous[0] <= answer.pulled_at:
                last[answer.request] = (answer.pulled_at, answer.digest)
        elsewhere = [
            _received(key)
            for other in self.folders(folder_window(name))
            if other != name
            for key in self.store.keys(f"{self.root}/{other}")
        ]
        return _Newest(last, max(elsewhere, default=None))

    def _write(self, answers: list[RawAnswer], done: Stored) -> None:
        lines = b"".join(_encoder.encode(answer) + b"\n" for answer in answers)
        data = zstandard.ZstdCompressor(level=3).compress(lines)
        # The last answer's time: `_newest` relies on no answer being newer than its file's name.
        stamp = max(answer.pulled_at for answer in answers)
        while True:
            folder = folder_name(answers[0].covers)
            key = f"{self.root}/{folder}/{stamp.strftime(_STAMP)}.jsonl.zst"
            try:
                self.store.put(key, data, overwrite=False)
                break
            except FileExistsError:
                # Another pull began in the same microsecond.
                stamp += timedelta(microseconds=1)
        done.answers += len(answers)
        done.files.append(self.store.uri(key))
        done.size_bytes += len(data)


def _received(key: str) -> datetime:
    """The time in a file's name."""
    stamp = key.rsplit("/", 1)[1].removesuffix(".jsonl.zst")
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


@dataclass
class _Newest:
    last: dict[tuple[str, str, Window], tuple[datetime, str]]
    elsewhere: datetime | None

    def repeats(self, answer: RawAnswer) -> bool:
        """Whether storing the answer would add nothing to any later fold.

        An identical answer still counts where another folder over the same days has been written
        since: it says that the older value is the newest one again.
        """
        stored = self.last.get(answer.request)
        if stored is None or stored[1] != answer.digest:
            return False
        return self.elsewhere is None or self.elsewhere <= stored[0]
