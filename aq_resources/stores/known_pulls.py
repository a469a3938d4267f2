"""The raw pulls of a network as they were at a time: those received later are not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from aq_resources.stores.object_store import ObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore, folder_window


class KnownPulls(RawPullStore):
    """For reading alone: what follows from the answers follows from those received by then.

    They are left out before they are parsed. Some answers say how others are to be read, and
    of two sensors one is selected by what both gave: a later answer must not have a say in that.
    """

    def __init__(self, store: ObjectStore, network: str, as_known_at: datetime) -> None:
        """Opens nothing.

        Args:
            store: Where all networks' raw pulls are.
            network: Its name.
            as_known_at: The time, UTC; an answer received in that very instant counts.
        """
        super().__init__(store, network)
        self.as_known_at = as_known_at

    def read(
        self,
        folder: str,
        damaged: list[str] | None = None,
        *,
        since: datetime | None = None,
    ) -> Iterator[RawAnswer]:
        """As `RawPullStore.read`, without the answers received later.

        Args:
            folder: Its name.
            damaged: Takes the keys of damaged files.
            since: Files that hold nothing received since then are left out.

        Returns:
            The answers.
        """
        answers = super().read(folder, damaged, since=since)
        return (answer for answer in answers if answer.pulled_at <= self.as_known_at)

    def days(self) -> list[date]:
        """UTC days that had begun by then and have a folder of raw pulls, in order."""
        days = {day for name in self.all_folders() for day in folder_window(name).dates}
        return sorted(day for day in days if day <= self.as_known_at.date())
