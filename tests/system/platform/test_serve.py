"""`aq serve` as a process: it answers, says whether it is ready, and ends when it is asked to."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psutil

from tests.patience import PATIENCE_S
from tests.system.integration.harness import Installation
from tests.system.running import free_port, wait_until


def test_two_workers_answer_and_end(tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    installation = Installation(tmp_path).with_settings(AQ_METRICS_API_PORT=str(metrics))
    process = installation.start("serve", "--port", str(port), "--workers", "2")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"{url}/healthz", timeout=PATIENCE_S).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        # There is no warehouse yet, and to look for one makes none.
        answer = httpx.get(f"{url}/readyz", timeout=PATIENCE_S)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert httpx.head(f"{url}/healthz", timeout=PATIENCE_S).content == b""
        # Whichever worker counted it.
        measured = httpx.get(f"http://127.0.0.1:{metrics}/metrics", timeout=PATIENCE_S).text
        assert 'aq_http_requests_total{method="GET",route="/readyz",status="503"} 1.0' in measured
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "aq backfill" in log
    assert not (tmp_path / "home" / "warehouse.sqlite").exists()


def test_a_killed_worker_costs_its_own_connections_alone(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/tables/latest"
    process = Installation(tmp_path).start("serve", "--port", str(port), "--workers", "2")
    try:
        expected = _first_answer(url, process)
        family = psutil.Process(process.pid)

        def workers() -> set[int]:
            return {one.pid for one in family.children() if _answers(one)}

        wait_until(lambda: len(workers()) == 2)
        before = workers()
        over = threading.Event()
        found: list[bytes] = []

        def ask() -> None:
            while not over.is_set():
                # A connection each: one in flight at the most is cut off.
                with contextlib.suppress(httpx.TransportError):
                    found.append(httpx.get(url, timeout=PATIENCE_S, trust_env=False).content)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for victim in sorted(before):
            psutil.Process(victim).kill()
            wait_until(partial(_replaced, workers, victim))
            answered = len(found)
            wait_until(partial(_grew, found, answered))
        over.set()
        for thread in threads:
            thread.join()
        assert set(found) == {expected}
        assert not workers() & before
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def _replaced(workers: Callable[[], set[int]], victim: int) -> bool:
    now = workers()
    return victim not in now and len(now) == 2


def _grew(found: list[bytes], before: int) -> bool:
    return len(found) > before


def _answers(process: psutil.Process) -> bool:
    """Whether it is a worker that lives; beside them is what keeps track of shared resources."""
    try:
        return "spawn_main" in str(process.cmdline())
    except psutil.Error:
        return False


def _first_answer(url: str, process: subprocess.Popen[str]) -> bytes:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return httpx.get(url, timeout=60, trust_env=False).raise_for_status().content
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_the_platforms_metrics_are_served_until_the_signal(tmp_path: Path) -> None:
    port = free_port()
    process = Installation(tmp_path).start("metrics", "--port", str(port))
    try:
        deadline = time.monotonic() + PATIENCE_S
        text = ""
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S).text
                # There is no warehouse yet, and that stops no other part.
                if 'aq_measuring_errors_total{part="warehouse"} 1.0' in text:
                    break
            time.sleep(0.1)
        assert "aq_disk_free_bytes" in text
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert not (tmp_path / "home" / "warehouse.sqlite").exists()
