"""Recent hours: pages of the v2 measurements of a device or a group of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from aq_resources.http.client import HttpClient
from aq_resources.network_client import Pull
from aq_resources.network_toolkit.bodies import as_dict
from aq_resources.network_toolkit.pulls import MAX_PAGES
from aq_resources.networks.airqo.api import ASKED, Api, broken, without_loss
from aq_resources.networks.airqo.bodies import MEASUREMENTS, as_count
from aq_resources.networks.airqo.members import ASKED_RECORDS, Entry, Members
from aq_science.windows import Window

# Sizes of a page that a document, a sample or the server's code names. So many records may be a
# page cut short, whatever the answer says of itself; the next page then tells.
PAGE_SIZES = frozenset({30, 50, 80, 100, 300, 1000})


def measurements(
    api: Api,
    entry: Entry,
    members: Members,
    window: Window,
    http: HttpClient,
    *,
    ends_only: bool = False,
) -> Iterator[Pull]:
    """Pull one entry's measurements, page by page, until nothing is left to ask for.

    Args:
        api: AirQo's interface.
        entry: A device, site, grid or cohort.
        members: Knows v2's id of a device.
        window: The hours wanted.
        http: One of the interface's clients.
        ends_only: Whether the first and the last page are enough.

    Returns:
        One outcome a page.
    """
    name = members.ids[entry.name] if entry.kind == "device" else entry.name
    path = f"{MEASUREMENTS}/{entry.kind}s/{name}"
    ours = {entry.name} if entry.kind == "device" else ()
    seen, total, skip = 0, None, 0
    before: list[Any] | None = None
    for number in range(1, MAX_PAGES + 1):
        params = {
            # Both ends count: a second earlier keeps the next window's first hour out.
            "startTime": window.start.strftime(ASKED),
            "endTime": (window.end - timedelta(seconds=1)).strftime(ASKED),
            "frequency": "hourly",
            "recent": "no",
            "limit": str(ASKED_RECORDS),
            "skip": str(skip),
        }
        pull, body = api.ask(entry.text, path, params, window, http)
        records = body.get("measurements") if body else None
        page = without_loss(pull, ours)
        if body is None or not isinstance(records, list):
            yield page
            return
        if records and (records == before or number == MAX_PAGES):
            yield broken(pull, "the same page twice, or too many: it does not go on")
            return
        meta = as_dict(body.get("meta"))
        total, limit = as_count(meta.get("total")), as_count(meta.get("limit"))
        seen, skip, before = seen + len(records), skip + len(records), records
        # A full page is never taken for the last one, whatever the counts say.
        full = limit is None or len(records) >= limit or len(records) in PAGE_SIZES
        if not records and total is not None and seen < total:
            yield broken(pull, f"{seen} of {total} records and an empty page")
            return
        yield page
        if not records or not (full or (total is not None and seen < total)):
            return
        if ends_only:
            if total is None or limit is None or seen > limit:
                return
            # From the first page to the last, full or not.
            skip = seen = max(seen, total - limit)
