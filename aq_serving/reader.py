"""The only way to the stores: so many reads at once, each for so long, and none that writes.

Connections are to one DuckDB that has the lake attached read-only and is confined to its files, as
that of `aq query` is. They stay open; after an error they are made anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.reading_origin import Sources
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, file_name
from aq_resources.stores.raw_pulls import RawPullStore
from aq_resources.warehouse.errors import translate_errors
from aq_resources.warehouse.names import LAKE
from aq_resources.warehouse.reading import confine, whole_read
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_serving.months import KnownMonths
from aq_serving.problems import ProblemError, not_found, unavailable

# How long a request waits for its turn before it is refused.
WAIT_SECONDS = 5.0
MEMORY_LIMIT = "1GB"

_Connection = duckdb.DuckDBPyConnection

_LOG = logging.getLogger("aq.serving")
_OLDER = (
    "The warehouse is of an earlier version than this server. Whoever runs it has to run "
    "`aq prepare`, or to start the server again where it may write."
)
_UNREADABLE = "The data cannot be read just now. Try again later; the server's log has the reason."


class Reader:
    """A bounded pool of read-only connections, opened at first use."""

    def __init__(self, services: Services, connections: int, seconds: float) -> None:
        """Opens nothing.

        Args:
            services: Warehouse and object store.
            connections: Reads at once.
            seconds: Longest time of one query.
        """
        self._services = services
        self._connections = connections
        self.seconds = seconds
        self.months = KnownMonths()
        self._turns = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._database: _Connection | None = None

    def query(self, sql: str, values: Sequence[Any] = ()) -> pl.DataFrame:
        """The rows of a query whose every value is bound.

        Raises:
            ProblemError: It took too long, or the warehouse cannot be read now.
        """
        with self.turn():
            database, connection = self._take()
            timer = threading.Timer(self.seconds, connection.interrupt)
            timer.start()
            try:
                frame = whole_read(
                    self._services.warehouse.location,
                    lambda: connection.execute(sql, list(values)).pl(),
                )
            except duckdb.InterruptException:
                raise self.too_long() from None
            except duckdb.BinderException as error:
                _LOG.error("The warehouse lacks what this version reads: %s", error)
                raise unavailable(_OLDER) from error
            except duckdb.Error as error:
                # What a statement gets wrong says nothing of the connection.
                if not isinstance(error, duckdb.ProgrammingError):
                    self.close()
                raise translate_errors(error, self._services.warehouse.location) from error
            finally:
                timer.cancel()
                self._give_back(database, connection)
            return frame

    def day_files(self, network: str) -> DayFiles:
        """The files of the network's hourly readings."""
        name = HOURLY_READINGS.name
        return DayFiles(
            self._services.object_store,
            f"{network}/{name}",
            file_name(name),
            HOURLY_READINGS.schema,
        )

    def sources(self, network: str, stations: pl.DataFrame) -> Sources:
        """What the network's readings were made of.

        Args:
            network: Its name.
            stations: `STATIONS` of all networks.

        Returns:
            Stores and a client that reads answers; it asks for none.

        Raises:
            ProblemError: The network is not set up here.
        """
        services = self._services
        if network not in services.networks:
            raise not_found(f"{network} is not set up here, so that its raw pulls cannot be read.")
        return Sources(
            stations.filter(pl.col("network") == network).cast(STATIONS.schema),
            self.day_files(network),
            RawPullStore(services.object_store, network),
            services.client(network),
            services.settings.gas_reference_celsius,
        )

    def object_key(self, uri: str) -> str:
        """Key of a file of the object store, which says nothing of where the store is."""
        return uri.removeprefix(self._services.object_store.uri("")).lstrip("/")

    def too_long(self) -> ProblemError:
        """The refusal of a request whose reading took longer than it may."""
        return unavailable(
            f"This took longer than {self.seconds:g} s. Ask for less: a shorter range, or single "
            "stations."
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be one of those who read now, for as long as the block lasts.

        Raises:
            ProblemError: Too many read, or what is read cannot be read now.
        """
        if not self._turns.acquire(timeout=WAIT_SECONDS):
            raise unavailable("Too many requests are being answered. Try again in some seconds.")
        try:
            yield
        except (TransientFailure, PermanentFailure) as failure:
            _LOG.warning("%s", failure.message)
            raise unavailable(_UNREADABLE) from failure
        except (pl.exceptions.PolarsError, OSError) as error:
            _LOG.warning("%s", error)
            raise unavailable(_UNREADABLE) from error
        finally:
            self._turns.release()

    def close(self) -> None:
        """Give the connections back; the next read opens others."""
        with self._lock:
            self._database = None
            self._idle = []

    # Machinery

    def _take(self) -> tuple[_Connection, _Connection]:
        """The database, and one of its connections that no one uses."""
        with self._lock:
            if self._database is None:
                self._database, self._idle = self._open()
            return self._database, self._idle.pop()

    def _give_back(self, database: _Connection, connection: _Connection) -> None:
        with self._lock:
            if database is self._database:
                self._idle.append(connection)

    def _open(self) -> tuple[_Connection, list[_Connection]]:
        database = self._services.warehouse.connect_read_only()
        try:
            database.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            connections = [database.cursor() for _ in range(self._connections)]
            for connection in connections:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(f"USE {LAKE}")
            confine(database, [self._services.object_store.uri("")])
        except duckdb.Error as error:
            raise translate_errors(error, self._services.warehouse.location) from error
        return database, connections
