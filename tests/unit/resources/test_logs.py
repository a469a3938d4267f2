"""Lines of JSON, and what they say they are about."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution import context_creation_job
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aq_resources import traces
from aq_resources.dagster_storage import run_logs
from aq_resources.dagster_storage.run_health import BEATING_EXECUTOR
from aq_resources.failures import SettingsError
from aq_resources.logs import (
    JsonHandler,
    LogSettings,
    configure_logs,
    logs_of_run,
)
from aq_resources.traces import trace_provider


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process that logs JSON writes."""
    monkeypatch.setenv("AQ_LOG_FORMAT", "json")
    root, own = logging.getLogger(), logging.getLogger("aq")
    before = root.handlers[:], own.level
    configure_logs()
    configure_logs()
    [handler] = [one for one in root.handlers if isinstance(one, JsonHandler)]
    text = io.StringIO()
    handler.setStream(text)
    yield text
    root.handlers[:] = before[0]
    own.setLevel(before[1])


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_names_the_run_network_and_partition(lines: io.StringIO) -> None:
    log = logging.getLogger("aq.stores")
    with logs_of_run("r1", "airqino_readings", {"dagster/partition": "2026-10-02"}):
        log.info("stored %d", 3)
    log.warning("afterwards")
    inside, outside = read(lines)
    assert inside.pop("timestamp").endswith("Z")
    assert inside == {
        "event": "stored 3",
        "logger": "aq.stores",
        "level": "info",
        "run_id": "r1",
        "job": "airqino_readings",
        "network": "airqino",
        "partition": "2026-10-02",
    }
    assert "run_id" not in outside


def test_a_range_is_named_by_its_ends_and_upkeep_by_no_network(lines: io.StringIO) -> None:
    tags = {
        "dagster/asset_partition_range_start": "2026-10-02",
        "dagster/asset_partition_range_end": "2026-10-04",
    }
    with logs_of_run("r1", "upkeep", tags):
        logging.getLogger("aq.x").info("…")
    [line] = read(lines)
    assert line["partition"] == "2026-10-02...2026-10-04"
    assert "network" not in line


def test_an_error_has_its_traceback_and_a_request_its_parts(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("aq.serving").exception("defect")
    access = logging.getLogger("uvicorn.access")
    # A server of another test may have set them up its own way.
    for logger in (access, logging.getLogger("uvicorn")):
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "handlers", [])
    level = access.level
    access.setLevel(logging.INFO)
    form = '%s - "%s %s HTTP/%s" %d'
    access.info(form, "127.0.0.1:1", "GET", "/v1/latest", "1.1", 200)
    access.setLevel(level)
    error, request = read(lines)
    assert "ValueError: broken" in error["exception"]
    assert (request["method"], request["path"], request["status"]) == ("GET", "/v1/latest", 200)


def test_what_others_write_is_not_written_twice(lines: io.StringIO) -> None:
    logger = logging.getLogger("dagster.daemon.made_up")
    parent = logging.getLogger("dagster.daemon")
    own = logging.NullHandler()
    parent.addHandler(own)
    logger.error("once")
    parent.removeHandler(own)
    logger.error("by the root")
    assert [line["event"] for line in read(lines)] == ["by the root"]


def test_text_is_the_default_and_other_forms_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AQ_LOG_FORMAT", raising=False)
    assert not LogSettings().as_json
    monkeypatch.setenv("AQ_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError, match="AQ_LOG_FORMAT"):
        LogSettings()


@dg.op(name="airqino__raw_pulls")
def raw_pulls(context: dg.OpExecutionContext) -> None:
    context.log.info("pulled 5 answers")
    logging.getLogger("aq.http").info("asked again")


@dg.job(executor_def=BEATING_EXECUTOR)
def airqino_readings() -> None:
    raw_pulls()


@pytest.mark.server
def test_a_run_says_what_it_is_about_on_its_console(
    lines: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stock = run_logs._stock
    monkeypatch.setattr(context_creation_job, run_logs._NAME, stock)
    run_logs.install()
    (tmp_path / "dagster.yaml").write_text("python_logs: {python_log_level: INFO}")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        done = dg.execute_job(
            dg.reconstructable(airqino_readings),
            instance=instance,
            tags={"dagster/partition": "2026-10-02"},
        )
    assert done.success
    about = {
        "run_id": done.run_id,
        "job": "airqino_readings",
        "network": "airqino",
        "partition": "2026-10-02",
    }
    [own] = [line for line in read(lines) if line["event"] == "asked again"]
    assert own.items() >= about.items()
    console = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [said] = [line for line in console if line["event"] == "pulled 5 answers"]
    assert said.items() >= {**about, "step": "airqino__raw_pulls"}.items()


@pytest.mark.server
def test_a_run_and_its_steps_are_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    # What an earlier test asked for writes to the output of that test.
    traces._provider.cache_clear()
    (tmp_path / "dagster.yaml").write_text("python_logs: {python_log_level: ERROR}")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        tags = {"dagster/partition": "2026-10-02"}
        done = dg.execute_job(dg.reconstructable(airqino_readings), instance=instance, tags=tags)
    assert done.success
    decoder, text, spans = json.JSONDecoder(), capsys.readouterr().out.strip(), []
    while text:
        span, end = decoder.raw_decode(text)
        spans.append(span)
        text = text[end:].strip()
    step, run = spans
    assert (step["name"], run["name"]) == ("airqino__raw_pulls", "airqino_readings")
    assert step["parent_id"] == run["context"]["span_id"]
    assert run["attributes"]["aq.partition"] == "2026-10-02"
    assert run["attributes"]["aq.network"] == "airqino"
    assert run["resource"]["attributes"]["service.name"] == "aq"


@pytest.mark.server
def test_a_collector_gets_the_spans_by_otlp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever).start()
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    (tmp_path / "dagster.yaml").write_text("python_logs: {python_log_level: ERROR}")
    try:
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            dg.execute_job(dg.reconstructable(airqino_readings), instance=instance)
    finally:
        server.shutdown()
        server.server_close()
    [(path, body)] = taken
    assert path == "/v1/traces"
    [of_service] = ExportTraceServiceRequest.FromString(body).resource_spans
    names = [span.name for scope in of_service.scope_spans for span in scope.spans]
    assert names == ["airqino__raw_pulls", "airqino_readings"]


def test_traces_to_an_unknown_place_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    assert trace_provider() is None
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    with pytest.raises(SettingsError, match="otlp"):
        trace_provider()
