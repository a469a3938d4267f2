"""The SensorThings API asked by Fraunhofer's own client for FROST."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import frost_sta_client as fsc
import pytest
import requests
import uvicorn
from fastapi import FastAPI

pytestmark = [
    pytest.mark.server,
    # Of what the client itself is made of.
    pytest.mark.filterwarnings("ignore:furl.pathstr is deprecated"),
]


@pytest.fixture(scope="module")
def service(application: FastAPI) -> Iterator[fsc.SensorThingsService]:
    """The client of a server of our own, without proxies between."""
    # Without lifespan: others go on with the stores.
    server = uvicorn.Server(
        uvicorn.Config(application, lifespan="off", log_level="warning", access_log=False)
    )
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        # Who connects before the server is there waits for it.
        listening.listen()
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("NO_PROXY", "127.0.0.1")
                yield fsc.SensorThingsService(f"http://127.0.0.1:{port}/sensorthings/v1.1")
        finally:
            server.should_exit = True
            thread.join()


def test_an_entity_by_its_identifier(service: fsc.SensorThingsService) -> None:
    thing = service.things().find("airqino:s1")
    assert (thing.id, thing.name, thing.properties["country"]) == ("airqino:s1", "somewhere", "CI")
    [place] = thing.get_locations().query().list()
    assert place.location["coordinates"] == [-4.0, 5.3]


def test_all_pages_of_a_datastream(service: fsc.SensorThingsService) -> None:
    stream = service.datastreams().find("airqino:s1:pm25:hourly")
    assert stream.unit_of_measurement.symbol == "µg/m³"
    found = stream.get_observations().query().top(50).orderby("phenomenonTime", "asc").list()
    results = [one.result for one in found]
    assert results == [10.0 + n % 7 for n in range(226)]


def test_filters_and_counts(service: fsc.SensorThingsService) -> None:
    query = service.datastreams().query().filter("Thing/properties/country eq 'BE'").count()
    found = query.list()
    assert found.count == len(list(found)) == 4
    newest = (
        service.observations().query().filter("Datastream/id eq 'irceline:b1:pm25:forecast-2h'")
    )
    [first, *_] = newest.orderby("phenomenonTime").top(1).list()
    assert first.phenomenon_time.startswith("2024-03-10T11:00:00")


def test_entities_within_entities(service: fsc.SensorThingsService) -> None:
    expand = "Datastreams($expand=Observations($top=1;$orderby=phenomenonTime desc)),Locations"
    found = service.things().query().filter("id eq 'airqino:s2'").expand(expand).list()
    [thing] = list(found)
    newest = {stream.id: stream.observations for stream in thing.datastreams}
    # The list would go on with the next pages.
    [observation] = newest["airqino:s2:pm25:hourly"].entities
    assert observation.result == 3.25


def test_what_is_not_there_and_what_may_not_be(service: fsc.SensorThingsService) -> None:
    with pytest.raises(requests.HTTPError, match="404"):
        service.things().find("airqino:none")
    with pytest.raises(requests.HTTPError, match="405"):
        service.create(fsc.Thing(name="mine", description="a thing", properties={}))
