"""`aq serve` as a process: it answers, says whether it is ready, and ends when it is asked to."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx

from tests.patience import PATIENCE_S
from tests.system.integration.harness import Installation


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def test_two_workers_answer_and_end(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Installation(tmp_path).start("serve", "--port", str(port), "--workers", "2")
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
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "aq backfill" in log
    assert not (tmp_path / "home" / "warehouse.sqlite").exists()
