"""What the resources work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aq_serving.reader import Reader
from aq_serving.stations import Directory


@dataclass(frozen=True)
class Context:
    """Made once a process.

    Attributes:
        reader: The only way to the stores.
        directory: The stations.
        now: The clock, UTC: it says what `latest` and `category` are of.
    """

    reader: Reader
    directory: Directory
    now: Callable[[], datetime]
