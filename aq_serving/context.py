"""What the resources work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aq_serving.published import Published, PublishedNow
from aq_serving.reader import Reader
from aq_serving.stations import Directory, PublishedDirectory


@dataclass(frozen=True)
class Context:
    """Made once a process.

    Attributes:
        reader: The only way to the stores.
        directory: The stations.
        now: The clock, UTC: it says what `latest` and `category` are of.
        publication: What is published, if anything is.
        silence: The networks that are taken in, and how long each may send nothing.
    """

    reader: Reader
    directory: Directory
    now: Callable[[], datetime]
    publication: PublishedNow
    silence: Mapping[str, timedelta]

    @property
    def present(self) -> Present:
        """What answers of now are made of: the publication, or the tables while there is none."""
        published = self.publication.published
        if published is None:
            return Present(self.directory, None)
        return Present(PublishedDirectory(published.stations), published)


@dataclass(frozen=True)
class Present:
    """What answers of now are made of.

    Attributes:
        directory: The stations.
        published: The publication; None while there is none.
    """

    directory: Directory
    published: Published | None
