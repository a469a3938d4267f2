"""Client of the aq air-quality API: its resources as polars frames.

    from datetime import date
    from aq_client import Client

    with Client("http://127.0.0.1:8700") as air:
        days = air.daily_averages(date(2026, 1, 1), date(2026, 2, 1), parameter="pm25")

`AsyncClient` is the same for asyncio. What goes wrong is an `ApiError`, whose text says what to do.
"""

from __future__ import annotations

from aq_client.answers import ApiError
from aq_client.clients import AsyncClient, Client

__all__ = ["ApiError", "AsyncClient", "Client"]
