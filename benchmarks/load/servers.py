"""`aq serve` and nginx as children."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from benchmarks.common import aq, free_port

_NGINX = """
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  open_file_cache max=100;
  sendfile on;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; default_type application/json; }}
}}
"""


@contextmanager
def serving(environment: Mapping[str, str], workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """`aq serve`; yields its address and process."""
    port = free_port()
    command = [aq(), "serve", "--port", port, "--workers", str(workers)]
    # Otherwise nothing would be told of a worker that was killed on purpose.
    with subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            await_answer(f"{url}/healthz")
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


@contextmanager
def nginx(
    folder: Path, bodies: Mapping[str, bytes], workers: int
) -> Iterator[tuple[str, psutil.Process]]:
    """Nginx with files of these bytes; yields its address and process."""
    port = free_port()
    files = folder / "files"
    files.mkdir()
    folder.chmod(0o755)
    for name, body in bodies.items():
        (files / name).write_bytes(body)
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, workers=workers))
    command = ["nginx", "-c", str(configuration), "-g", "daemon off;"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            await_answer(f"{url}/{next(iter(bodies))}")
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


def await_answer(url: str, seconds: float = 300.0) -> None:
    """Until the address answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            httpx.get(url, trust_env=False, timeout=60).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def cpu_seconds(process: psutil.Process) -> float:
    """CPU that a server and its workers have used."""
    used = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            times = one.cpu_times()
            used += times.user + times.system
    return used


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that answer."""
    return [one for one in process.children(recursive=True) if _is_worker(one)] or [process]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        # It has just ended.
        return False
