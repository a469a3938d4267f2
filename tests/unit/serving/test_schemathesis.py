"""Requests made of the OpenAPI document itself: no server error, no answer beside its schema."""

from __future__ import annotations

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = [
    pytest.mark.server,
    # Of the client by which schemathesis asks an application.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
PATHS = (
    "/v1/stations",
    "/v1/overview",
    "/v1/latest",
    "/v1/category",
    "/v1/hourly-readings",
    "/v1/daily-averages",
    "/v1/gaps",
    "/v1/exceedances",
    "/v1/forecasts",
    "/v1/scores",
    "/v1/explain/{network}/{station_id}/{parameter}/{hour}",
    "/v1/publication",
    "/v1/publication/{key}",
    "/v1/networks",
    "/v1/network-days",
    "/v1/index-categories",
    "/v1/tables/{name}",
    "/v1/attribution",
    "/healthz",
    "/readyz",
)

WITHOUT_PARAMETERS = {
    *("/v1/publication", "/v1/publication/{key}"),
    *("/v1/tables/{name}", "/v1/attribution", "/healthz", "/readyz"),
}
OF_DAYS = {"/v1/daily-averages", "/v1/gaps", "/v1/scores", "/v1/network-days"}


@pytest.fixture(scope="session")
def document(application: FastAPI) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/v1/openapi.json", application)


def test_no_path_is_left_out(application: FastAPI) -> None:
    # A stream has no end that a client of this process could wait for; test_live.py listens to it.
    assert set(application.openapi()["paths"]) == {*PATHS, "/v1/live"}


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (path, mode)
        for path in PATHS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or path not in WITHOUT_PARAMETERS
    ],
)
def test_every_answer_is_as_the_document_says(
    document: schemathesis.BaseSchema, path: str, mode: GenerationMode
) -> None:
    operation = document[path]["GET"]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=settings().max_examples // 4,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


@pytest.mark.parametrize("path", [path for path in PATHS if "{" not in path])
def test_answers_with_rows_are_as_the_document_says(
    document: schemathesis.BaseSchema, path: str
) -> None:
    names = {parameter.name for parameter in document[path]["GET"].query}
    known = {"station_id": "s1"}
    if "start" in names:
        time = "" if path in OF_DAYS else "T00:00:00Z"
        known |= {"start": f"2024-03-01{time}", "end": f"2024-03-11{time}"}
    query = {name: value for name, value in known.items() if name in names}
    response = document[path]["GET"].Case(query=query).call_and_validate(checks=CHECKS)
    # Nothing is published here; tests of publications ask where something is.
    assert response.status_code == (404 if path == "/v1/publication" else 200)
    assert "station_id" not in names or response.json()["data"]
