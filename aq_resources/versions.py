"""Versions of readings out of the stored raw pulls, window by window."""

from __future__ import annotations

import polars as pl

from aq_resources.networks._client import ChoosingClient, NetworkClient, Problems
from aq_resources.raw_pulls import RawPullStore, folder_window
from aq_science.readings import VERSION_SCHEMA
from aq_science.windows import Window


class VersionReader:
    """Reads consecutive windows, parsing each folder of raw pulls once.

    A folder is kept parsed from the first window that touches it to the last, so memory is bounded
    by the folders that cover one window.
    """

    def __init__(self, pulls: RawPullStore, client: NetworkClient) -> None:
        self.pulls = pulls
        self.client = client
        self.problems = Problems()
        self.unreadable: set[str] = set()
        self._parsed: dict[str, pl.DataFrame] = {}
        self._read: dict[str, set[str]] = {}

    def read(self, window: Window) -> pl.DataFrame:
        """Every version (`VERSION_SCHEMA`) of the hours in ``window``."""
        wanted = self.pulls.folders(window)
        self._parsed = {name: self._parsed[name] for name in wanted if name in self._parsed}
        for name in wanted:
            if name not in self._parsed:
                self._read[name] = set(self.pulls.keys(name))
                self._parsed[name] = self._parse(name)
        inside = pl.col("hour").is_between(window.start, window.end, closed="left")
        versions = pl.concat(
            [VERSION_SCHEMA.to_frame(), *(self._parsed[name].filter(inside) for name in wanted)]
        )
        return self.client.choose(versions) if isinstance(self.client, ChoosingClient) else versions

    def outdated(self, window: Window) -> bool:
        """Whether more was stored over ``window`` since it was read; reading again takes it in.

        Asked after a write, it keeps a run that read early from having the last word over one that
        read more: whoever stored an answer writes after that, too.
        """
        changed = [
            name
            for name in self.pulls.folders(window)
            if set(self.pulls.keys(name)) - self._read.get(name, set())
        ]
        for name in changed:
            self._parsed.pop(name, None)
        return bool(changed)

    def _parse(self, folder: str) -> pl.DataFrame:
        parsed = self.client.parse(self.pulls.read(folder))
        self.problems.merge(parsed.problems)
        self.unreadable |= set(parsed.unreadable)
        # Answers may reach beyond what the folder's name says; the folder decides.
        days = folder_window(folder)
        return parsed.versions.filter(
            pl.col("hour").is_between(days.start, days.end, closed="left")
        )
