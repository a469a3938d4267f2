"""Raw pulls: every answer of a network as it came, append-only, as zstd-compressed JSON lines.

A file holds the answers of one pull, or of several once `RawPullStore.tidy` has merged them, in a
folder named for the days they cover::

    <network>/raw_pulls/date=YYYY-MM-DD/<pulled_at>.jsonl.zst
    <network>/raw_pulls/span=YYYY-MM-DD..YYYY-MM-DD/<pulled_at>.jsonl.zst   (both days included)
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from glob import escape
from urllib.parse import urlparse

import msgspec
import zstandard

from aq_resources.failures import PermanentFailure
from aq_resources.stores.foreign import own_names
from aq_resources.stores.object_store import MissingObject, ObjectStore
from aq_science.windows import Window

# One file is written whole from memory, so a long pull is cut into files of about this size.
FILE_BYTES = 32 * 1024 * 1024
# Compressed size up to which files are merged; answers compress to about a tenth.
MERGED_BYTES = FILE_BYTES // 10
# A killed pull loses what it received in this time before its last answer, at most.
HOLD_SECONDS = 2.0
_STAMP = "%Y%m%dT%H%M%S%fZ"
_FOLDER = re.compile(r"date=\d{4}-\d\d-\d\d|span=\d{4}-\d\d-\d\d\.\.\d{4}-\d\d-\d\d")
_FILE = re.compile(r"\d{8}T\d{12}Z\.jsonl\.zst")

# As DuckDB's patterns have it, without `?`, which would begin the query of an address of S3.
_EACH_FOLDER = "*=[0-9][0-9][0-9][0-9]-[0-9][0-9]-*[0-9]"
_EACH_FILE = "[0-9]*T[0-9]*Z.jsonl.zst"


class DamagedPull(PermanentFailure):
    """A file of raw pulls is not what was written."""

    def __init__(self, uri: str, folder: str, reason: object) -> None:
        days = folder.partition("=")[2].split("..")
        super().__init__(
            f"{uri} is damaged ({reason}): it is not what was written. Put it back from a backup; "
            "or, without one, move it away and pull its days again, as far as the network still "
            f"has them: `aq backfill NETWORK --start {days[0]} --end {days[-1]}`."
        )


class RawAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer, verbatim, with secrets stripped from `url` and `params`.

    `pulled_at` is its place in the order of all that was said of its days, which is when it came,
    but after a clock that had been ahead; then `received_at` says when that was.
    """

    url: str
    params: dict[str, str]
    window: tuple[datetime, datetime]
    pulled_at: datetime
    status: int
    body: str
    received_at: datetime | None = None

    @property
    def readable(self) -> tuple[datetime, datetime]:
        """The part of the period whose hours had ended when the answer came, [start, end)."""
        start, end = self.window
        if self.received_at is not None:
            end = max(start, min(end, _hour_of(self.received_at)))
        return start, end

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
    """Name of the folder that keeps answers covering `window`."""
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


@dataclass
class Tidied:
    """What a call of `RawPullStore.tidy` did; files and bytes are the network's."""

    folders: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    # Copies of an answer that a killed call had written already.
    copies_dropped: int = 0
    # Folders left for another night.
    folders_left: int = 0
    # What could not be read whole stays as it is.
    damaged: list[str] = field(default_factory=list)
    # Files that were read to their end to see that they are whole.
    examined: int = 0


class RawPullStore:
    """The raw pulls of one network."""

    def __init__(
        self,
        store: ObjectStore,
        network: str,
        hold_seconds: float = HOLD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens nothing.

        Args:
            store: Where all networks' are.
            network: Its name.
            hold_seconds: How long answers may be gathered for one file.
            clock: Seconds that only go forward.
        """
        self.store = store
        self.root = f"{network}/raw_pulls"
        self._hold_seconds, self._clock = hold_seconds, clock

    def append(self, answers: Iterable[RawAnswer], *, distinct: bool = False) -> Stored:
        """Keep the answers, except those identical to what is already the newest word.

        Files are written as the answers arrive: a kill loses none of the earlier ones, and a
        failure of `answers` none that came before it.

        Args:
            answers: Answers of this network.
            distinct: Whether each of them is new, as those of a queue are: then nothing that is
                stored is read to compare them with.

        Returns:
            What was done.
        """
        done = Stored()
        known: dict[str, _Newest] = {}
        pending: list[RawAnswer] = []
        size = 0
        written = self._clock()

        def write() -> None:
            nonlocal pending, size
            # Emptied first: what fails to be written is not tried again at the end.
            full, pending, size = pending, [], 0
            if full:
                self._write(full, done)

        try:
            for received in answers:
                name = folder_name(received.covers)
                if name not in known:
                    known[name] = _Newest({}, None, None) if distinct else self._newest(name)
                if known[name].repeats(received):
                    done.repeated += 1
                    continue
                answer = known[name].after(received)
                if pending and (folder_name(pending[0].covers) != name or size > FILE_BYTES):
                    write()
                pending.append(answer)
                size += len(answer.body)
                if self._clock() - written > self._hold_seconds:
                    write()
                    written = self._clock()
        finally:
            write()
        return done

    @property
    def pattern(self) -> str:
        """Address of all the files, with a pattern for folder and name."""
        return f"{escape(self.store.uri(self.root))}/{_EACH_FOLDER}/{_EACH_FILE}"

    @property
    def is_empty(self) -> bool:
        """Whether there is no file."""
        return not any(self.keys(name) for name in self.all_folders())

    def all_folders(self) -> list[str]:
        """Every folder, by name."""
        return own_names(self.root, self.store.folders(self.root), _FOLDER)

    def folders(self, window: Window) -> list[str]:
        """Folders whose answers cover some of `window`."""
        return [name for name in self.all_folders() if folder_window(name).overlaps(window)]

    def keys(self, folder: str, since: datetime | None = None) -> list[str]:
        """The files of a folder; with `since` those that may hold answers received since then."""
        keys = own_names(self.root, self.store.keys(f"{self.root}/{folder}"), _FILE)
        # No answer is newer than its file's name.
        return keys if since is None else [key for key in keys if _received(key) >= since]

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by key in order."""
        listed = self.store.sizes(self.root)
        own = set(own_names(self.root, listed, _FILE))
        folders = {key: key.split("/")[-2] for key in own}
        ours = set(own_names(self.root, set(folders.values()), _FOLDER))
        return {key: size for key, size in listed.items() if key in own and folders[key] in ours}

    def damage(self, key: str) -> str | None:
        """What is wrong with a file and what to do, by reading it to its end; None where it is
        whole, or was merged into another meanwhile.
        """
        try:
            for line in self._lines(key):
                self._decode(key, line)
        except DamagedPull as damaged:
            return damaged.message
        except MissingObject:
            return None
        return None

    def read(
        self,
        folder: str,
        damaged: list[str] | None = None,
        *,
        since: datetime | None = None,
    ) -> Iterator[RawAnswer]:
        """Every answer of a folder once, file by file; pulls at one time may come in any order.

        Args:
            folder: Its name.
            damaged: Takes the keys of damaged files, which are left out then.
            since: Files that hold nothing received since then are left out.

        Yields:
            The answers.

        Raises:
            DamagedPull: A file cannot be read whole, and `damaged` was not given.
        """
        yielded: set[bytes] = set()
        gone: str | None = None
        while True:
            keys = self.keys(folder, since)
            try:
                for key in keys:
                    try:
                        lines = self._lines(key)
                    except DamagedPull:
                        if damaged is None:
                            raise
                        damaged.append(key)
                        continue
                    for line in lines:
                        if (digest := _digest(line)) not in yielded:
                            yielded.add(digest)
                            yield self._decode(key, line)
            except MissingObject:
                if gone in keys:
                    raise
                # Merged into another file since it was listed.
                gone = key
            else:
                return

    def lines(self, folder: str) -> Iterator[tuple[str, int, str, RawAnswer]]:
        """Every answer of a folder with the place of its bytes.

        Args:
            folder: Its name.

        Yields:
            Address of the file, number of the line (from 1), SHA-256 of the line in hexadecimal,
            and the answer.

        Raises:
            DamagedPull: A file cannot be read whole.
        """
        for key in self.keys(folder):
            for number, line in enumerate(self._lines(key), 1):
                digest = hashlib.sha256(line).hexdigest()
                yield self.store.uri(key), number, digest, self._decode(key, line)

    def tidy(self, ended_before: datetime, limit: int = 1000) -> Tidied:
        """Merge the many small files of folders whose days had ended by then, oldest first.

        No answer is dropped or changed. A file's content never changes, and it is deleted only
        after all of it is in another: so a kill loses nothing (the next call finishes the work),
        and neither do other calls, appends and readers meanwhile.
        """
        listed = self.sizes()
        done = Tidied(files_before=len(listed), bytes_before=sum(listed.values()))
        folders: dict[str, dict[str, int]] = {}
        for key, size in listed.items():
            folders.setdefault(key.split("/")[-2], {})[key] = size
        wanted = sorted(
            (folder_window(name).end, name, groups)
            for name, files in folders.items()
            if folder_window(name).end <= ended_before and (groups := _groups(files))
        )
        done.folders_left = max(0, len(wanted) - limit)
        for _, _, groups in wanted[:limit]:
            for keys in groups:
                self._merge(keys, listed, done)
            done.folders += 1
        done.files_after, done.bytes_after = len(listed), sum(listed.values())
        return done

    def _merge(self, keys: list[str], listed: dict[str, int], done: Tidied) -> None:
        """Replace these files by one; `listed` is kept up to date."""
        lines: dict[bytes, None] = {}
        count = 0
        try:
            for key in keys:
                for line in self._lines(key):
                    self._decode(key, line)
                    lines[line] = None
                    count += 1
        except MissingObject:
            # Somebody else is tidying here.
            return
        except DamagedPull as damage:
            done.damaged.append(damage.message)
            return
        done.copies_dropped += count - len(lines)
        data = _compressed(lines)
        # As `_write` has it: no answer is newer than its file's name. Later than every merged
        # name, too: one that is used twice could be deleted by who still means the former file.
        stamp = _received(keys[-1]) + timedelta(microseconds=1)
        folder = keys[-1].rsplit("/", 1)[0]
        key = self._put(folder, stamp, data)
        listed[key] = len(data)
        for old in keys:
            self.store.delete(old)
            del listed[old]

    def _lines(self, key: str) -> list[bytes]:
        data = self.store.get(key)
        try:
            whole = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise self._damaged(key, error) from error
        return whole.splitlines()

    def _decode(self, key: str, line: bytes) -> RawAnswer:
        try:
            return _decoder.decode(line)
        except msgspec.MsgspecError as error:
            # Files of earlier versions have no checksum: damage shows here at the earliest.
            raise self._damaged(key, error) from error

    def _damaged(self, key: str, reason: object) -> DamagedPull:
        return DamagedPull(self.store.uri(key), key.split("/")[-2], reason)

    def _newest(self, name: str) -> _Newest:
        """The last stored answer to each request of a folder, and the newest pull over its days."""
        last: dict[tuple[str, str, Window], _Word] = {}
        # What cannot be read is asked anew, and stands in no pull's way.
        damaged: list[str] = []
        for answer in self.read(name, damaged):
            previous = last.get(answer.request)
            if previous is None or previous[0] <= answer.pulled_at:
                came = answer.received_at or answer.pulled_at
                last[answer.request] = (answer.pulled_at, answer.digest, came)
        elsewhere = [
            _received(key)
            for other in self.folders(folder_window(name))
            if other != name
            for key in self.keys(other)
        ]
        elsewhere += map(_received, damaged)
        newest = max([*elsewhere, *(word[0] for word in last.values())], default=None)
        return _Newest(last, max(elsewhere, default=None), newest)

    def _write(self, answers: list[RawAnswer], done: Stored) -> None:
        data = _compressed(_encoder.encode(answer) for answer in answers)
        # The last answer's time: `_newest` relies on no answer being newer than its file's name.
        stamp = max(answer.pulled_at for answer in answers)
        key = self._put(f"{self.root}/{folder_name(answers[0].covers)}", stamp, data)
        done.answers += len(answers)
        done.files.append(self.store.uri(key))
        done.size_bytes += len(data)

    def _put(self, folder: str, stamp: datetime, data: bytes) -> str:
        """Write a new file; its key."""
        while True:
            key = f"{folder}/{stamp.strftime(_STAMP)}.jsonl.zst"
            try:
                self.store.put(key, data, overwrite=False)
            except FileExistsError:
                try:
                    if self.store.get(key) == data:
                        # A write that was tried again had arrived the first time.
                        return key
                except MissingObject:
                    continue
                # Another pull began in the same microsecond.
                stamp += timedelta(microseconds=1)
            else:
                return key


def _groups(files: dict[str, int]) -> list[list[str]]:
    """Runs of consecutive files that fit into one, of two files at least."""
    groups: list[list[str]] = [[]]
    size = 0
    for key, part in files.items():
        size += part
        if groups[-1] and size > MERGED_BYTES:
            groups.append([])
            size = part
        groups[-1].append(key)
    return [group for group in groups if len(group) > 1]


def _compressed(lines: Iterable[bytes]) -> bytes:
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    return compressor.compress(b"".join(line + b"\n" for line in lines))


def _digest(line: bytes) -> bytes:
    # Most processors have instructions for it.
    return hashlib.sha256(line).digest()


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _received(key: str) -> datetime:
    """The time in a file's name."""
    stamp = key.rsplit("/", 1)[1].removesuffix(".jsonl.zst")
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


# An answer's place in the order, its identity, and when it came.
_Word = tuple[datetime, str, datetime]


@dataclass
class _Newest:
    last: dict[tuple[str, str, Window], _Word]
    elsewhere: datetime | None
    newest: datetime | None

    def after(self, answer: RawAnswer) -> RawAnswer:
        """The answer, stamped later than all that was stored for its days before this call.

        The newest answer wins, so one received after a clock has stepped back must not look older
        than what it corrects.
        """
        if self.newest is None or answer.pulled_at > self.newest:
            return answer
        later = self.newest + timedelta(microseconds=1)
        return msgspec.structs.replace(answer, pulled_at=later, received_at=answer.pulled_at)

    def repeats(self, answer: RawAnswer) -> bool:
        """Whether storing the answer would add nothing to any later fold.

        An identical answer still counts where another folder over the same days has been written
        since: it says that the older value is the newest one again. And where an hour that was in
        progress has ended since: only from now on is its value a reading.
        """
        stored = self.last.get(answer.request)
        if stored is None or stored[1] != answer.digest:
            return False
        if stored[2] < _hour_of(min(answer.pulled_at, answer.covers.end)):
            return False
        return self.elsewhere is None or self.elsewhere <= stored[0]
