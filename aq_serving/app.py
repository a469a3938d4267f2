"""The application: routers, errors as problem details, compression, CORS and health."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from aq_resources.documents.forms import Format
from aq_resources.logs import configure_logs
from aq_resources.services import Services
from aq_resources.traces import trace_provider
from aq_serving.context import Context
from aq_serving.front import Front
from aq_serving.metrics import LIVE, RequestMetrics
from aq_serving.pages.files import add_pages
from aq_serving.problems import ProblemDetails, ProblemError, problem_response
from aq_serving.reader import Reader
from aq_serving.resource import PROBLEMS
from aq_serving.routers import (
    about,
    category,
    daily_averages,
    exceedances,
    explain,
    forecasts,
    gaps,
    hourly_readings,
    index_categories,
    latest,
    live,
    networks,
    overview,
    published,
    scores,
    stations,
)
from aq_serving.sensorthings import router as sensorthings
from aq_serving.settings import ApiSettings
from aq_serving.spans import RequestSpans
from aq_serving.stations import Directory

VERSION = "v1"
_RESOURCES = (
    stations,
    overview,
    latest,
    category,
    hourly_readings,
    daily_averages,
    gaps,
    exceedances,
    forecasts,
    scores,
    explain,
    networks,
    index_categories,
)
_DESCRIPTION = """
Air-quality readings, averages and forecasts of public networks; read-only.

* Times are instants with an offset, answers are in UTC. The stamp of an hour is its beginning.
* Ranges are half-open: `start` belongs to them, `end` does not.
* Rows come in pages; `next` (also the header `Link`) leads to the next one.
* Forms: JSON, CSV, Parquet, Arrow, and GeoJSON where there are places; by `Accept`, by extension
  (`/v1/stations.csv`) or by `format`.
* Every answer says whom to credit. `/v1/tables/<name>` has columns and units.
"""
# Compressed already, or read in place.
_NOT_COMPRESSED = (Format.parquet.media_type, Format.arrow.media_type)

_LOG = logging.getLogger("aq.serving")


def create_app(services: Services, settings: ApiSettings) -> FastAPI:
    """The application over the stores of `services`; nothing is opened before it is asked."""
    reader = Reader(services, settings.connections, settings.time_limit_seconds)
    front = Front(services, settings, reader)
    spans = trace_provider()
    silence = {
        name: timedelta(hours=config.silent_after_hours)
        for name, config in services.networks.items()
    }
    context = Context(reader, Directory(reader), services.now, front.publication, silence)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        # The first to ask need not wait for the connections.
        threading.Thread(target=_warm_up, args=[context], daemon=True).start()
        async with front.running() as state:
            yield state
        if spans is not None:
            # A worker ends without what Python does at exit.
            spans.force_flush()
        reader.close()
        services.close()

    app = FastAPI(
        title="Air-quality data",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_url=f"/{VERSION}/openapi.json",
        # FastAPI's own pages load their scripts from another site.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    for module in _RESOURCES:
        app.include_router(module.router(context), prefix=f"/{VERSION}")
    app.include_router(live.router(front.live), prefix=f"/{VERSION}")
    app.include_router(published.router(services), prefix=f"/{VERSION}")
    app.include_router(about.router(), prefix=f"/{VERSION}")
    app.include_router(sensorthings.router(context))
    add_pages(app, settings)
    _add_health(app, context)
    _add_errors(app)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1000,
        compresslevel=5,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *_NOT_COMPRESSED),
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET"],
            expose_headers=["ETag", "Link", "Attribution", "Retry-After"],
        )
    if spans is not None:
        app.add_middleware(RequestSpans, provider=spans)
    app.add_middleware(RequestMetrics)
    app.add_middleware(HeadAsGet)
    front.install(app)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    return app


def from_environment() -> FastAPI:
    """The application as the environment's settings describe it: what a worker serves."""
    configure_logs()
    return create_app(Services.from_environment(), ApiSettings())


class HeadAsGet:
    """HEAD is GET whose body stays behind: the server sends none for it. A stream has no end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"] != LIVE:
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def _warm_up(context: Context) -> None:
    try:
        _ = context.directory.stations
    except ProblemError:
        # The reader has logged it; whoever asks gets the reason.
        return


def _add_health(app: FastAPI, context: Context) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], responses={503: {"description": PROBLEMS[503]}})
    def readyz() -> dict[str, str]:
        """Whether the warehouse can be read, and how recent the publication is."""
        context.reader.query("SELECT count(*) FROM air_quality.stations")
        return {"status": "ready", **context.publication.state.described()}


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def problem(_: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [(_parameter(one["loc"]), _meaning(one)) for one in error.errors()]
        detail = "; ".join(f"{name}: {text}" for name, text in errors)
        return problem_response(HTTPStatus.BAD_REQUEST, detail, errors)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        detail = {
            HTTPStatus.NOT_FOUND: f"There is no such resource. /{VERSION}/openapi.json lists all.",
            HTTPStatus.METHOD_NOT_ALLOWED: "The API is read-only: it answers GET and HEAD.",
        }.get(HTTPStatus(error.status_code), str(error.detail))
        return problem_response(error.status_code, detail, headers=error.headers)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        _LOG.error("%s", request.url.path, exc_info=error)
        return problem_response(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "That is a defect of the server, whose log has the reason.",
        )


def _parameter(location: tuple[int | str, ...]) -> str:
    return str(location[1]) if len(location) > 1 else str(location[0])


def _meaning(error: dict[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "no such parameter; see the resource's entry in /docs"
    if error["type"] == "missing":
        return "is required"
    return str(error["msg"])


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the model of problems that responses refer to."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        model = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**model.pop("$defs"), "ProblemDetails": model}
        app.openapi_schema = document
    return app.openapi_schema
