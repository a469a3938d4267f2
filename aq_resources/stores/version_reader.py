"""Versions of readings out of the stored raw pulls, window by window."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from aq_resources.network_client import NetworkClient, Problems, SensorSelectingClient
from aq_resources.stores.raw_pulls import DamagedPull, RawPullStore, folder_window
from aq_science.versions import (
    ABSENCE_SCHEMA,
    VERSION_SCHEMA,
    WHOLE_SCHEMA,
    with_withdrawals,
)
from aq_science.windows import Window


class _Folder(NamedTuple):
    """A folder of raw pulls: the files it held when it was read, and what they say."""

    keys: frozenset[str]
    versions: pl.DataFrame
    absences: pl.DataFrame
    whole: pl.DataFrame


class VersionReader:
    """Reads consecutive windows, parsing each folder of raw pulls once.

    A folder is kept parsed from the first window that touches it to the last, so memory is bounded
    by the folders that cover one window. Windows may overlap, as those with context do.
    """

    def __init__(self, pulls: RawPullStore, client: NetworkClient) -> None:
        self.pulls = pulls
        self.client = client
        self.problems = Problems()
        self.unreadable: set[str] = set()
        self._folders: dict[str, _Folder] = {}

    def read(self, window: Window) -> pl.DataFrame:
        """Every version (`VERSION_SCHEMA`) of the hours in `window`."""
        wanted = self.pulls.folders(window)
        self._folders = {name: self._folders[name] for name in wanted if name in self._folders}
        for name in wanted:
            if name not in self._folders:
                # Listed before it is read: what comes in between is read again, not missed.
                keys = frozenset(self.pulls.keys(name))
                self._folders[name] = self._parse(name, keys)
        inside = pl.col("hour").is_between(window.start, window.end, closed="left")
        folders = [self._folders[name] for name in wanted]
        versions = with_withdrawals(
            pl.concat([VERSION_SCHEMA.to_frame(), *(f.versions.filter(inside) for f in folders)]),
            pl.concat([ABSENCE_SCHEMA.to_frame(), *(f.absences.filter(inside) for f in folders)]),
            pl.concat([WHOLE_SCHEMA.to_frame(), *(f.whole for f in folders)]),
        )
        if isinstance(self.client, SensorSelectingClient):
            return self.client.select_sensor(versions)
        return versions

    def read_around(self, days: Window, seen: Window) -> tuple[pl.DataFrame, Window]:
        """Every version of days and of the hours that quality tests see beside them.

        Args:
            days: Whole UTC days.
            seen: The days with the hours beside them.

        Returns:
            The versions, `VERSION_SCHEMA`, and the window they are of: `seen`, or a lone day where
            raw pulls beside it are damaged.

        Raises:
            DamagedPull: Raw pulls of the days are.
        """
        try:
            return self.read(seen), seen
        except DamagedPull:
            # A day is worth more than what the tests would see beside it.
            if len(days.dates) > 1 or seen == days:
                raise
            return self.read(days), days

    def outdated(self, window: Window) -> bool:
        """Whether more was stored over `window` since it was read; reading again takes it in.

        Asked after a write, it keeps a run that read early from having the last word over one that
        read more: whoever stored an answer writes after that, too.
        """
        changed = [
            name
            for name in self.pulls.folders(window)
            if name not in self._folders
            or not self._folders[name].keys.issuperset(self.pulls.keys(name))
        ]
        for name in changed:
            self._folders.pop(name, None)
        return bool(changed)

    def _parse(self, folder: str, keys: frozenset[str]) -> _Folder:
        parsed = self.client.parse(self.pulls.read(folder))
        self.problems.merge(parsed.problems)
        self.unreadable |= set(parsed.unreadable)
        # Answers may reach beyond what the folder's name says; the folder decides.
        days = folder_window(folder)
        return _Folder(
            keys,
            _within(parsed.versions, days),
            _within(parsed.absences, days),
            parsed.whole.with_columns(
                pl.col("start").clip(lower_bound=days.start),
                pl.col("end").clip(upper_bound=days.end),
            ),
        )


def _within(rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The rows whose `hour` is in the window: mostly all, which are not copied."""
    inside = rows["hour"].is_between(window.start, window.end, closed="left")
    return rows if inside.all() else rows.filter(inside)
