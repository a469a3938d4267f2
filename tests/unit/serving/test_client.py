"""The Python client against the application itself, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

import aq_client
from aq_client import ApiError, AsyncClient, Client
from aq_client.clients import API_KEY
from aq_resources.documents.columns import plain_schema
from aq_serving.routers.about import SERVED
from tests.unit.serving.conftest import FIRST, NOW, day
from tests.unit.serving.in_process import InProcess

BASE = "http://api"
END = FIRST + timedelta(days=3)


@pytest.fixture
def transport(application: FastAPI) -> InProcess:
    return InProcess(application)


@pytest.fixture
def air(transport: InProcess) -> Iterator[Client]:
    with Client(BASE, transport=transport) as client:
        yield client


# Each resource, by a request that finds something.
REQUESTS: dict[str, Callable[[Client], pl.DataFrame]] = {
    "stations": lambda air: air.stations(near=(5.3, -4.0), within_km=50),
    "latest": lambda air: air.latest(network="airqino"),
    "category": lambda air: air.category(station_id="s1"),
    "hourly_readings": lambda air: air.hourly_readings(FIRST, END, parameter="co"),
    "daily_averages": lambda air: air.daily_averages(day(1), "2024-03-05", valid=True),
    "gaps": lambda air: air.gaps(day(1), day(5), station_id=["s1", "s2"]),
    "exceedances": lambda air: air.exceedances(standard="who_2021", year=2024),
    "forecasts": lambda air: air.forecasts(FIRST, NOW + timedelta(hours=1), horizon=1),
    "forecast_scores": lambda air: air.scores(day(1), day(5), mode="live"),
    "overview": lambda air: air.overview(network="airqino"),
    "networks": lambda air: air.networks(),
    "network_days": lambda air: air.network_days(day(1), day(5)),
    "index_categories": lambda air: air.index_categories(parameter="pm25"),
}


def test_every_table_that_is_served_has_its_method() -> None:
    assert REQUESTS.keys() == SERVED.keys()


@pytest.mark.parametrize("table", REQUESTS)
def test_a_resource_is_a_frame_with_the_declared_columns(air: Client, table: str) -> None:
    rows = REQUESTS[table](air)
    assert rows.height > 0
    assert rows.schema == plain_schema(SERVED[table])


def test_stations_by_box_and_country(air: Client) -> None:
    assert air.stations(bbox=(4, 50, 5, 51))["station_id"].to_list() == ["b1"]
    assert set(air.stations(country=["CI"])["network"]) == {"airqino"}


def test_pages_are_followed_to_the_end(air: Client, transport: InProcess) -> None:
    whole = air.hourly_readings(FIRST, END, station_id="s1")
    assert len(transport.asked) == 1
    params = {"start": FIRST.isoformat(), "end": END.isoformat(), "station_id": "s1"}
    pages = list(air.pages("hourly-readings.arrow", limit=50, **params))
    assert [page.height for page in pages] == [50, 50, 44]
    assert pl.concat(pages).equals(whole)


def test_a_path_before_the_version_stays_on_every_page(application: FastAPI) -> None:
    inner = InProcess(application)

    class Proxy(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            assert request.url.path.startswith("/air/v1/")
            url = request.url.copy_with(path=request.url.path.removeprefix("/air"))
            return inner.handle_request(httpx.Request("GET", url, headers=request.headers))

    with Client(f"{BASE}/air/", transport=Proxy()) as client:
        pages = list(client.pages("stations.arrow", limit=1))
    assert [page.height for page in pages] == [1] * 4


def test_what_is_wrong_is_said_as_the_api_says_it(air: Client) -> None:
    with pytest.raises(ApiError, match="has 60 days, and 31 are allowed") as caught:
        air.hourly_readings(FIRST, FIRST + timedelta(days=60))
    assert caught.value.status == 400
    assert caught.value.errors.keys() == {"end"}
    assert "/v1/hourly-readings.arrow" in caught.value.url
    with pytest.raises(ApiError, match="No such table") as caught:
        air.columns("none")
    assert caught.value.status == 404


def test_an_instant_needs_a_zone_and_a_day_no_time(air: Client, transport: InProcess) -> None:
    with pytest.raises(ValueError, match="start needs a time zone"):
        air.hourly_readings(datetime(2024, 3, 1), END)
    with pytest.raises(TypeError, match="start is a day"):
        air.daily_averages(FIRST, day(5))
    assert transport.asked == []


def test_columns_and_whom_to_credit(air: Client) -> None:
    columns = air.columns("daily_averages")
    assert columns.filter(name="mean")["unit"].to_list() == ["unit"]
    assert {"airqino", "openaq"} <= set(air.attribution()["network"])


def test_asyncio_gives_the_same(air: Client, application: FastAPI) -> None:
    async def read() -> list[pl.DataFrame]:
        transport = httpx.ASGITransport(application)
        async with AsyncClient(BASE, transport=transport) as client:
            found = client.stations(), client.hourly_readings(FIRST, END, station_id="s1")
            pages = [page async for page in client.pages("stations.arrow", limit=3)]
            return [*await asyncio.gather(*found), pl.concat(pages)]

    stations, readings, paged = asyncio.run(read())
    assert stations.equals(air.stations())
    assert paged.equals(stations)
    assert readings.equals(air.hourly_readings(FIRST, END, station_id="s1"))


# Servers that misbehave

Answers = list[httpx.Response | httpx.TransportError]


class Scripted(httpx.MockTransport):
    """Gives one answer after the other."""

    def __init__(self, *answers: httpx.Response | httpx.TransportError) -> None:
        self.left: Answers = list(answers)
        self.asked: list[httpx.Request] = []
        super().__init__(self._next)

    def _next(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.left.pop(0)
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which are not waited for."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    # Other threads of this process may go on waiting.
    monkeypatch.setattr("aq_client.clients.time", SimpleNamespace(sleep=found.append))
    monkeypatch.setattr("aq_client.clients.asyncio", SimpleNamespace(sleep=sleep))
    return found


def rows() -> httpx.Response:
    return httpx.Response(200, json=[{"network": "airqino"}])


def busy(status: int = 503, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps({"detail": "Too many requests at once."})
    return httpx.Response(status, content=content, headers=named)


def read(transport: Scripted, asynchronous: bool, **options: float) -> pl.DataFrame:
    """One request by either client."""
    if not asynchronous:
        with Client(BASE, transport=transport, **options) as client:  # type: ignore[arg-type]
            return client.attribution()

    async def ask() -> pl.DataFrame:
        async with AsyncClient(BASE, transport=transport, **options) as client:  # type: ignore[arg-type]
            return await client.attribution()

    return asyncio.run(ask())


@pytest.mark.parametrize("asynchronous", [False, True])
class TestPassingFaults:
    def test_a_busy_server_is_waited_for_as_long_as_it_says(
        self, waits: list[float], asynchronous: bool
    ) -> None:
        transport = Scripted(busy(Retry_After="7"), busy(429, Retry_After="0"), rows())
        assert read(transport, asynchronous).height == 1
        assert waits == [7.0, 0.0]

    def test_without_a_word_the_pauses_grow(self, waits: list[float], asynchronous: bool) -> None:
        lost = httpx.ConnectError("Connection refused")
        transport = Scripted(busy(502), lost, busy(504), busy(Retry_After="soon"), rows())
        assert read(transport, asynchronous).height == 1
        bounds = [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0)]
        assert all(low <= wait <= high for wait, (low, high) in zip(waits, bounds, strict=True))

    def test_in_the_end_the_error_is_the_servers(
        self, waits: list[float], asynchronous: bool
    ) -> None:
        with pytest.raises(ApiError, match=r"^Too many requests at once\.$") as caught:
            read(Scripted(busy(), busy(), busy()), asynchronous, attempts=3)
        assert caught.value.status == 503
        assert len(waits) == 2

    def test_who_cannot_be_reached_is_named(self, waits: list[float], asynchronous: bool) -> None:
        lost = [httpx.ConnectError("Connection refused") for _ in range(2)]
        with pytest.raises(ApiError, match=r"cannot be reached \(Connection refused\)") as caught:
            read(Scripted(*lost), asynchronous, attempts=2)
        assert caught.value.status is None

    def test_no_one_waits_longer_than_was_agreed(
        self, waits: list[float], asynchronous: bool
    ) -> None:
        with pytest.raises(ApiError, match="Too many requests"):
            read(Scripted(busy(Retry_After="3600")), asynchronous, longest_wait=60)
        assert waits == []

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    def test_other_errors_are_not_asked_again(
        self, waits: list[float], asynchronous: bool, status: int
    ) -> None:
        transport = Scripted(busy(status))
        with pytest.raises(ApiError) as caught:
            read(transport, asynchronous)
        assert (caught.value.status, len(transport.asked), waits) == (status, 1, [])


def test_retry_after_may_be_a_date(waits: list[float]) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    read(Scripted(busy(Retry_After=soon), busy(Retry_After=past), rows()), asynchronous=False)
    assert 0 < waits[0] <= 30
    assert waits[1] == 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(200, html="<h1>Welcome</h1>"), id="another site"),
        pytest.param(httpx.Response(200, json={"a": 1}), id="another API"),
        pytest.param(httpx.Response(302, headers={"Location": "https://login"}), id="redirect"),
        pytest.param(
            httpx.Response(
                200,
                content=b"ARROW1 and no more",
                headers={"Content-Type": "application/vnd.apache.arrow.stream"},
            ),
            id="cut off",
        ),
    ],
)
def test_what_is_no_answer_of_the_api_is_an_error(answer: httpx.Response) -> None:
    with pytest.raises(ApiError, match="is no answer of the aq API"):
        read(Scripted(answer), asynchronous=False)


def test_a_proxys_page_is_an_error_with_its_status() -> None:
    answer = httpx.Response(403, html="<h1>Forbidden</h1>")
    with pytest.raises(ApiError, match=r"^api answered 403 Forbidden$"):
        read(Scripted(answer), asynchronous=False)


def test_the_key_goes_along_and_is_in_no_error(waits: list[float]) -> None:
    key = "a key that is nobody's business"
    transport = Scripted(rows(), busy(401))
    with Client(BASE, api_key=key, transport=transport) as client:
        client.attribution()
        with pytest.raises(ApiError) as caught:
            client.attribution()
    assert [request.headers[API_KEY] for request in transport.asked] == [key] * 2
    assert key not in f"{caught.value!r} {caught.value.url}"


# The package


def test_it_stands_alone() -> None:
    folder = Path(aq_client.__file__).parent
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert [name.partition(">")[0] for name in project["dependencies"]] == ["httpx", "polars"]
    assert (folder / "py.typed").exists()
    own = tomllib.loads((folder.parent / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == own["version"]
    assert {"httpx", "polars"} <= {name.partition(">")[0] for name in own["dependencies"]}


@pytest.mark.server
def test_importing_it_brings_no_more_than_it_declares() -> None:
    program = "import sys, aq_client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {"httpx", "polars", "aq_client"} <= set(done.stdout.split())
    found = {"pyarrow", "pandas", "numpy", "duckdb", "pydantic", "fastapi", "starlette"}
    found |= {"aq_science", "aq_resources", "aq_serving"}
    assert found.isdisjoint(done.stdout.split())
