"""Every fault as a client sees it, the request log, exact answers, and a clean stop."""

import gzip
import threading
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from aq_sandbox.faults import REQUESTS_KEPT, RequestLog, ServedRequest
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.patience import PATIENCE_S

ONE = "/v3/getStationHourlyAvg/283164601?start_date=20250610-0000&end_date=20250610-2300"
OTHER = ONE.replace("283164601", "283181971")


def inject(client: httpx.Client, **fault: Any) -> None:
    answer = client.post("/_sandbox/faults", json=fault)
    assert answer.status_code == 200, answer.text


def statuses(client: httpx.Client, count: int, path: str = ONE) -> list[int]:
    return [client.get(path).status_code for _ in range(count)]


def test_status_with_a_wait_hits_that_many_requests(client: httpx.Client) -> None:
    inject(client, kind="status", status=429, retry_after=2, times=2)
    answer = client.get(ONE)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert statuses(client, 3) == [429, 200, 200]


def test_status_without_a_wait_lasts_until_cleared(client: httpx.Client) -> None:
    inject(client, kind="status", status=500, times=None)
    assert "retry-after" not in client.get(ONE).headers
    assert statuses(client, 5) == [500] * 5
    assert client.delete("/_sandbox/faults").json() == []
    assert statuses(client, 1) == [200]


def test_share_is_spread_evenly(client: httpx.Client) -> None:
    inject(client, kind="status", status=503, share=0.5)
    assert statuses(client, 4) == [200, 503, 200, 503]


def test_path_filter_spares_the_other_station(client: httpx.Client) -> None:
    inject(client, kind="status", status=404, path_contains="283164601", times=1)
    assert statuses(client, 2, OTHER) == [200, 200]
    assert statuses(client, 2) == [404, 200]


def test_faults_queue_up(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.inject(kind="status", status=429, times=1)
    sandbox.inject(kind="status", status=500, times=1)
    assert statuses(client, 3) == [429, 500, 200]


def test_timeout_delays_the_true_answer(client: httpx.Client) -> None:
    inject(client, kind="timeout", delay=0.3, times=2)
    with pytest.raises(httpx.ReadTimeout):
        client.get(ONE, timeout=httpx.Timeout(5.0, read=0.05))
    began = time.monotonic()
    assert client.get(ONE).json()["data"]
    assert time.monotonic() - began > 0.25


def test_changed_schema_is_the_true_answer_under_other_names(client: httpx.Client) -> None:
    true = client.get(ONE).json()
    inject(client, kind="schema", times=1)
    changed = client.get(ONE).json()
    assert set(changed) == {"header_v2", "data_v2"}
    for row, other in zip(true["data"], changed["data_v2"], strict=True):
        assert {f"{key}_v2": value for key, value in row.items()} == other

    inject(client, kind="schema", rename={"PM2.5": "pm2p5"}, times=1)
    (first, *_) = client.get(ONE).json()["data"]
    assert "PM2.5" not in first
    assert first["pm2p5"] == true["data"][0]["PM2.5"]
    assert set(first) - {"pm2p5"} == set(true["data"][0]) - {"PM2.5"}


def test_changed_schema_of_a_packed_file_is_its_first_line(client: httpx.Client) -> None:
    path = (
        "/openaq-archive/records/csv.gz/locationid=2178/year=2025/month=06/"
        "location-2178-20250601.csv.gz"
    )
    header, *rows = gzip.decompress(client.get(path).content).decode().splitlines()
    inject(client, kind="schema", rename={"value": "reading"}, times=1)
    changed, *same = gzip.decompress(client.get(path).content).decode().splitlines()
    assert changed == header.replace('"value"', '"reading"') != header
    assert same == rows
    # What is neither has no fields to rename.
    inject(client, kind="schema", times=1)
    missing = client.get("/openaq-archive/none")
    assert (missing.status_code, missing.text[:7]) == (404, "<Error>")


def test_truncated_answer_is_sound_http_and_broken_json(client: httpx.Client) -> None:
    whole = client.get(ONE).content
    inject(client, kind="truncate", times=1)
    cut = client.get(ONE)
    assert cut.status_code == 200
    assert cut.content == whole[: len(whole) // 2]
    with pytest.raises(ValueError):
        cut.json()
    assert client.get(ONE).content == whole


def test_disconnect_breaks_off_half_way(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    inject(client, kind="disconnect", times=1)
    received = b""
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", ONE) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            received += chunk
    assert received.startswith(b'{"header"')
    assert 0 < len(received) < int(answer.headers["content-length"])
    assert client.get(ONE).status_code == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_bodies_that_are_not_the_networks(client: httpx.Client) -> None:
    inject(client, kind="html", times=1)
    inject(client, kind="empty", times=1)
    inject(client, kind="body", body='{"data": null}', times=1)
    html, empty, body = (client.get(ONE) for _ in range(3))
    assert html.headers["content-type"].startswith("text/html")
    assert html.text.startswith("<!DOCTYPE html>")
    assert (empty.status_code, empty.content) == (200, b"")
    assert (body.status_code, body.text) == (200, '{"data": null}')


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "earthquake"},
        {"kind": "status", "status": 42},
        {"kind": "status", "share": 0},
        {"kind": "status", "typo": 1},
        {},
    ],
)
def test_fault_that_makes_no_sense_is_refused(client: httpx.Client, fault: dict[str, Any]) -> None:
    answer = client.post("/_sandbox/faults", json=fault)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.get("/_sandbox/faults").json() == []


def test_handle_refuses_a_fault_that_makes_no_sense(sandbox: RunningSandbox) -> None:
    with pytest.raises(ValueError, match="earthquake"):
        sandbox.inject(kind="earthquake")


def test_requests_are_logged_with_query_time_and_fault(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    inject(client, kind="status", times=1)
    client.get(ONE)
    client.get(ONE)
    client.get("/api/station")
    log = client.get("/_sandbox/requests").json()
    path, _, query = ONE.partition("?")
    assert log["total"] == 3
    assert log["by_path"] == {path: 2, "/api/station": 1}
    assert log["faults"] == 1
    first = log["requests"][0]
    assert (first["path"], first["query"], first["fault"]) == (path, query, "status")
    assert first["time"] == "2025-06-18T09:20:00Z"
    assert log["requests"][1]["fault"] is None
    assert [one.path for one in sandbox.requests()] == [path, path, "/api/station"]


def test_log_has_bounded_memory() -> None:
    log = RequestLog()
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(REQUESTS_KEPT + 5):
        log.add(ServedRequest("GET", f"/{number}", "", moment, moment, None))
    assert len(log.kept()) == REQUESTS_KEPT
    assert log.summary()["total"] == REQUESTS_KEPT + 5


def test_exact_answer_for_one_station(sandbox: RunningSandbox, client: httpx.Client) -> None:
    text = '{"header":{},"data":[{"timestamp":"10/06/2025 00:00","PM2.5":"7,5"}]}'
    client.post("/_sandbox/answers", json={"station": "283164601", "body": text})
    assert client.get(ONE).text == text
    assert len(client.get(OTHER).json()["data"]) > 10
    client.delete("/_sandbox/answers", params={"station": "283164601"})
    assert len(client.get(ONE).json()["data"]) > 10
    sandbox.set_answer("283164601", "not json")
    assert client.get(ONE).text == "not json"
    sandbox.set_answer("283164601", None)
    assert client.get(ONE).json()["data"]


def test_reset_forgets_everything(sandbox: RunningSandbox, client: httpx.Client) -> None:
    inject(client, kind="empty")
    sandbox.set_answer("283164601", "x")
    client.get(ONE)
    client.post("/_sandbox/clock", json={"now": "2030-01-01T00:00:00Z"})
    client.post("/_sandbox/reset")
    assert client.get("/_sandbox/faults").json() == []
    assert client.get("/_sandbox/requests").json()["total"] == 0
    assert client.get("/_sandbox/clock").json()["now"] == "2025-06-18T09:20:00Z"
    assert client.get(ONE).json()["data"]


def test_stop_does_not_wait_for_a_timeout_and_frees_the_port() -> None:
    with running_sandbox(SandboxConfig()) as sandbox:
        sandbox.inject(kind="timeout", delay=2 * PATIENCE_S)
        waiting = threading.Thread(target=_ask, args=(sandbox.url + ONE,))
        waiting.start()
        while not sandbox.requests():
            time.sleep(0.005)
        port = int(sandbox.url.rpartition(":")[2])
    waiting.join()
    with running_sandbox(SandboxConfig(), port=port) as again:
        assert again.url == sandbox.url


def _ask(url: str) -> None:
    httpx.get(url, timeout=PATIENCE_S, trust_env=False)
