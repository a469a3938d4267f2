"""Whole months of day files in memory, for as long as the files are those that were read.

To open a year's files takes longer than to read one station's rows of them: whoever loads one
station after another finds them open.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import date
from itertools import groupby

import polars as pl

from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.object_store import Version

MOST_BYTES = 128 * 2**20
# In memory rows take so much more than in their files; of what is not kept nothing is read whole.
_EXPANSION = 16
# A month of which a request wants fewer days is read by day.
_DAYS_OF_A_MONTH = 28

Key = tuple[str, date]
Versions = Mapping[date, Version]


class KnownMonths:
    """The months that were read last, up to `MOST_BYTES`."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is read yet.

        Args:
            most_bytes: What may be kept.
        """
        self._most = most_bytes
        self._lock = threading.Lock()
        self._kept: dict[Key, tuple[Versions, pl.DataFrame]] = {}

    def scan(self, files: DayFiles, days: Versions) -> pl.LazyFrame:
        """The rows of some days, from memory as far as whole months are wanted.

        Args:
            files: Day files.
            days: Those that are wanted, as they are now.

        Returns:
            As `files.scan_days` gives them.
        """
        if sum(version.size for version in days.values()) * _EXPANSION > self._most:
            return files.scan_days(list(days))
        months = {
            first: {day: days[day] for day in of_month}
            for first, of_month in groupby(sorted(days), lambda day: day.replace(day=1))
        }
        whole = {first: of for first, of in months.items() if len(of) >= _DAYS_OF_A_MONTH}
        frames = [self._month(files, first, of).lazy() for first, of in whole.items()]
        rest = [day for first, of in months.items() if first not in whole for day in of]
        return pl.concat([*frames, files.scan_days(rest)])

    def _month(self, files: DayFiles, first: date, days: Versions) -> pl.DataFrame:
        key = (files.root, first)
        with self._lock:
            versions, frame = self._kept.get(key, (None, None))
        if frame is None or versions != days:
            frame = files.scan_days(list(days)).collect()
        with self._lock:
            # The last that was wanted is the last to go.
            self._kept.pop(key, None)
            self._kept[key] = (days, frame)
            size = sum(one.estimated_size() for _, one in self._kept.values())
            while size > self._most and len(self._kept) > 1:
                _, gone = self._kept.pop(next(iter(self._kept)))
                size -= gone.estimated_size()
        return frame
