"""Recorded answers, served row by row exactly as they were recorded.

One of AirQino is a file `<station id>_fetched_<YYYY-MM>.json`: a whole answer {header, data}, or
its bare `data` list, which is then served with an empty header.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

_NAME = re.compile(r"(?P<station>\d+)_fetched_(?P<fetched>\d{4}-\d{2})\.json")


class _Stamp(msgspec.Struct):
    timestamp: str = ""


class _Answer(msgspec.Struct):
    data: list[msgspec.Raw]
    header: dict[str, object] = {}


_stamps = msgspec.json.Decoder(_Stamp)
_answers = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class Recording:
    """One answer: its header, and the rows as recorded, each with its time if that is legible."""

    header: dict[str, object]
    rows: Sequence[tuple[datetime | None, msgspec.Raw]]

    def answer(self, start: datetime, end: datetime) -> bytes:
        """The answer with the rows of start..end, both included.

        A row whose time cannot be read is in no window and in every window: it is served.
        """
        rows = [raw for moment, raw in self.rows if moment is None or start <= moment <= end]
        return msgspec.json.encode({"header": self.header, "data": rows})


def folder_of(replay: Path, network: str) -> Path:
    """Where a network's recordings lie: in its own folder below `replay`, or in that itself."""
    own = replay / network
    return own if own.is_dir() else replay


def recordings(folder: Path, fetched_by: str | None = None) -> dict[str, Path]:
    """The recording to serve for each station: the newest by name, fetched by then."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*_fetched_*.json")):
        name = _NAME.fullmatch(path.name)
        if name and (fetched_by is None or name["fetched"] <= fetched_by):
            found[name["station"]] = path
    return found


def read_recording(path: Path) -> Recording:
    """A recording from its file; read once for as long as the file is not changed."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read(path: Path, _changed: int) -> Recording:
    content = path.read_bytes()
    if content.lstrip().startswith(b"["):
        answer = _Answer(data=msgspec.json.decode(content, type=list[msgspec.Raw]))
    else:
        answer = _answers.decode(content)
    return Recording(answer.header, [(_time(raw), raw) for raw in answer.data])


def _time(raw: msgspec.Raw) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_stamps.decode(raw).timestamp)
    except (ValueError, msgspec.ValidationError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
