"""Older hours: the analytics download, of all devices at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from aq_resources.network_client import Pull
from aq_resources.network_toolkit.bodies import as_dict
from aq_resources.network_toolkit.pulls import MAX_PAGES
from aq_resources.network_toolkit.rows import parse_in_batches
from aq_resources.networks.airqo.api import ASKED, Api, broken, without_loss
from aq_resources.networks.airqo.bodies import DOWNLOAD, source_of
from aq_resources.networks.airqo.members import ASKED_RECORDS, Entry, Members
from aq_resources.networks.airqo.parse import AirQoRows
from aq_science.windows import HOUR, Window

DOWNLOAD_SIZES = frozenset({1000, 2000})
SHORTEST_HALF_HOURS = 6


def download_sources(
    entries: Sequence[Entry], members: Members
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """What one download asks for: all devices at once, and all sites at once."""
    names = sorted(
        {
            name
            for entry in entries
            if entry.kind != "site"
            for name in members.names.get(entry.text, ())
        }
    )
    sites = [entry.name for entry in entries if entry.kind == "site"]
    if names:
        yield "devices", {"device_names": names}
    if sites:
        yield "sites", {"sites": sites}


def download(api: Api, source: str, who: dict[str, list[str]], window: Window) -> Iterator[Pull]:
    """Pull readings of many devices, page by page, by the download's cursor.

    Args:
        api: AirQo's interface.
        source: What is asked about, for messages.
        who: The devices or sites, as `download_sources` gives them.
        window: The hours wanted.

    Returns:
        One outcome a page.
    """
    asked: dict[str, Any] = {
        "network": "airqo",
        "startDateTime": window.start.strftime(ASKED),
        "endDateTime": (window.end - timedelta(seconds=1)).strftime(ASKED),
        "datatype": "calibrated",
        "downloadType": "json",
        "frequency": "hourly",
        **who,
        "pollutants": ["pm2_5", "pm10"],
        "metaDataFields": ["latitude", "longitude"],
        "weatherFields": ["temperature", "humidity"],
    }
    cursors: set[str] = set()
    while True:
        # The page's number, not its opaque cursor, says which page this is in a later pull.
        params = {
            **{key: ",".join(v) if isinstance(v, list) else v for key, v in asked.items()},
            "page": str(len(cursors) + 1),
        }
        params.pop("cursor", None)
        pull, body = api.ask(source, DOWNLOAD, params, window, api.download_http, post=asked)
        page = without_loss(pull, who.get("device_names", ()))
        if body is None or not isinstance(body.get("data"), list):
            yield page
            return
        rows, state = body["data"], as_dict(body.get("metadata"))
        cursor = state.get("next")
        endless = str(cursor) in cursors or len(cursors) >= MAX_PAGES
        if (cursor and endless) or (state.get("has_more") and not cursor):
            yield broken(pull, "more records without a way to them")
            return
        full = len(rows) in DOWNLOAD_SIZES or (not state and len(rows) >= ASKED_RECORDS)
        if full and not cursor and not cursors:
            yield from _cut_short(api, pull, source, who, window)
            return
        yield page
        if not cursor or not (state.get("has_more") or rows):
            return
        cursors.add(str(cursor))
        asked = {**asked, "cursor": cursor}


def _cut_short(
    api: Api, pull: Pull, source: str, who: dict[str, list[str]], window: Window
) -> Iterator[Pull]:
    """An answer that may be cut short, and without a cursor: the halves of its window too."""
    hours = (window.end - window.start) // HOUR
    # A server that minds no window would be asked for smaller ones without an end.
    stuck = (
        pull.answer is None
        or parse_in_batches([pull.answer], AirQoRows, source_of).versions.is_empty()
    )
    if stuck or hours < 2 * SHORTEST_HALF_HOURS:
        yield broken(pull, "as many records as it gives at once, without a way to the others")
        return
    yield pull
    for half in window.chunks(-(-hours // 2) * HOUR):
        yield from download(api, source, who, half)
