"""A warehouse that an earlier version of the platform made: noticed, and brought up to date."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import duckdb

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.services import Services, warehouse_tables
from aq_resources.warehouse.ddl import existing_columns

_SHOWN = 5


def missing_columns(services: Services) -> list[str]:
    """What the tables of the enabled networks lack, as `network.table.column`, or `network.table`.

    Raises:
        PermanentFailure: There is no warehouse, or none that can be read.
    """
    with closing(services.warehouse.connect_read_only()) as connection:
        existing = existing_columns(connection)
    found = []
    for network in services.networks:
        for table in warehouse_tables(network):
            columns = existing.get((network, table.name))
            if columns is None:
                found.append(f"{network}.{table.name}")
            else:
                missing = [name for name in table.schema if name not in columns]
                found += [f"{network}.{table.name}.{name}" for name in missing]
    return found


def bring_up_to_date(services: Services, say: Callable[[str], None]) -> None:
    """Add what an upgrade brought, where the warehouse may be written; otherwise say what to do.

    Args:
        services: The warehouse. One that does not exist is not made.
        say: Gets a line for people.
    """
    try:
        missing = missing_columns(services)
    except (PermanentFailure, TransientFailure, duckdb.Error):
        # Whoever asks the API hears that nothing can be read, and the log says why.
        return
    if not missing:
        return
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    what = f"{', '.join(missing[:_SHOWN])}{more}"
    try:
        services.warehouse.prepare()
    except (PermanentFailure, TransientFailure, duckdb.Error) as failure:
        say(
            f"The warehouse is of an earlier version and lacks {what}. Run `aq prepare` where it "
            f"may be written; until then what needs them answers 503. ({failure})"
        )
    else:
        say(f"The warehouse was of an earlier version: {what} added, as `aq prepare` does.")
