"""The ``aq`` command."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure

if TYPE_CHECKING:
    from aq_platform.runs import Runner
    from aq_resources.network_settings import NetworkConfig
    from aq_resources.platform import Platform

app = typer.Typer(
    name="aq",
    help="Air-quality data platform: pull, clean, average, forecast and serve.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# A pipe has no width of its own; 80 columns would fold every table.
out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)

DEMO_DAYS = 60
Networks = Annotated[list[str] | None, typer.Argument(help="Networks; all enabled ones if none")]


class Format(enum.StrEnum):
    """How `aq query` prints."""

    table = "table"
    csv = "csv"
    json = "json"


@contextmanager
def _readable_errors() -> Iterator[None]:
    """One line for what the user can mend; anything else is a defect and keeps its traceback."""
    try:
        yield
    except (SettingsError, PermanentFailure, TransientFailure) as error:
        err.print(f"[bold red]aq:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("[yellow]Interrupted; nothing was half-written.[/]")
        raise typer.Exit(130) from None
    except Exception as error:
        reason = _database_failure(error)
        if reason is None:
            raise
        err.print(
            f"[bold red]aq:[/] Dagster's records of runs cannot be kept: {reason}. Free space in "
            "DAGSTER_HOME, or see that its database is up; then run this again.",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1) from None


def _database_failure(error: BaseException | None) -> str | None:
    """What the database of Dagster's instance said, where that is behind the error."""
    # Not imported for this: an error of it can only come where it has been.
    known = sys.modules.get("sqlalchemy.exc")
    while known is not None and error is not None:
        if isinstance(error, known.DBAPIError):
            return " ".join(str(error.orig).split())
        error = error.__cause__ or error.__context__
    return None


def _plain(error: Exception) -> str:
    from rich.markup import escape

    return escape(getattr(error, "message", None) or str(error))


@app.command()
def demo(
    days: Annotated[int, typer.Option(help="Days of history to load", min=2)] = DEMO_DAYS,
) -> None:
    """Run the main job on the sandbox, from nothing, and print what it found."""
    from aq_platform.demo import print_findings
    from aq_sandbox.server import SandboxConfig, running_sandbox
    from aq_science.windows import DAY

    with _readable_errors(), running_sandbox(SandboxConfig(stations=SANDBOX_STATIONS)) as sandbox:
        _point_at_sandbox(sandbox.environment)
        with _runner() as runner:
            today = runner.platform.now().date()
            ok = not _ill(runner.platform)
            for config in runner.platform.networks.values():
                first = max(today - (days - 1) * DAY, config.start_date)
                ok &= _carry_out(runner, config, "backfill", first, today)
                ok &= _carry_out(runner, config, "refresh")
            print_findings(runner.platform, out)
        out.print("\nSee it in the Dagster UI: [bold]make up[/] (or `aq up --sandbox`).")
        if not ok:
            raise typer.Exit(1)


# As many as networks.yaml names by default, and room for more.
SANDBOX_STATIONS = 100


@app.command()
def up(
    *,
    sandbox: Annotated[bool, typer.Option(help="Take readings from the local sandbox")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the UI")] = 3000,
    read_only_port: Annotated[
        int | None, typer.Option(help="Port of a second UI in which nothing can be changed")
    ] = None,
) -> None:
    """Start the Dagster UI and daemon; Ctrl-C stops both."""
    from aq_sandbox.server import SandboxConfig, running_sandbox

    with _readable_errors():
        if sandbox:
            with running_sandbox(SandboxConfig(stations=SANDBOX_STATIONS)) as server:
                _point_at_sandbox(server.environment)
                code = _serve(host, port, read_only_port)
        else:
            code = _serve(host, port, read_only_port)
    raise typer.Exit(code)


def _serve(host: str, port: int, read_only_port: int | None) -> int:
    from aq_platform.up import serve_platform

    platform = _checked_platform()
    _ill(platform)
    return serve_platform(platform, host, port, out, read_only_port)


@app.command()
def prepare() -> None:
    """Bring Dagster's instance up to date and set its pools' limits; `aq up` sets those itself."""
    from aq_platform.instance import open_instance, set_pool_limits

    with _readable_errors():
        platform = _platform()
        _ill(platform)
        with open_instance(platform.settings) as instance:
            instance.upgrade(lambda line: out.print(line, highlight=False, markup=False))
            set_pool_limits(instance, platform.networks.values())
        for config in platform.networks.values():
            out.print(f"{config.name}: {config.concurrent_pulls} pulls at once", highlight=False)


@app.command()
def backfill(
    networks: Networks = None,
    *,
    start: Annotated[str, typer.Option(help="First day, YYYY-MM-DD (UTC)")],
    end: Annotated[str, typer.Option(help="Last day, included")],
    forecasts: Annotated[bool, typer.Option("--forecasts", help="Hindcasts too")] = False,
) -> None:
    """Load stations, raw pulls, hourly readings and daily averages of a range of days."""
    with _readable_errors():
        first, last = _day(start, "--start"), _day(end, "--end")
        if last < first:
            raise SettingsError(f"--end {last} lies before --start {first}.")
        with _runner() as runner:
            today = runner.platform.now().date()
            if last > today:
                raise SettingsError(f"--end {last} lies in the future; today is {today} (UTC).")
            chosen = _chosen(runner.platform, networks)
            for config in chosen:
                if first < config.start_date:
                    raise SettingsError(
                        f"--start {first} lies before networks.{config.name}.start_date "
                        f"({config.start_date}): choose a later day, or move start_date."
                    )
            ill = _ill(runner.platform, networks)
            ok = [
                _carry_out(runner, config, "backfill", first, last, forecasts=forecasts)
                for config in chosen
            ]
        if ill or not all(ok):
            raise typer.Exit(1)


@app.command()
def refresh(networks: Networks = None) -> None:
    """Do one hourly refresh now: newest readings, daily averages, forecasts."""
    with _readable_errors(), _runner() as runner:
        chosen = _chosen(runner.platform, networks)
        ill = _ill(runner.platform, networks)
        ok = [_carry_out(runner, config, "refresh") for config in chosen]
        if ill or not all(ok):
            raise typer.Exit(1)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="SQL over the schemas air_quality and <network>")],
    *,
    format: Annotated[Format, typer.Option(help="How to print the result")] = Format.table,  # noqa: A002
) -> None:
    """Run read-only SQL over the warehouse; standard output carries the result alone.

    CSV and JSON leave the platform: whom to name for them is said on standard error.
    """
    from aq_platform.query import run_query

    with _readable_errors():
        for named in run_query(_platform(), sql, format.value, out, sys.stdout):
            err.print(f"Attribution: {named}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def doctor(
    *,
    send_test_alert: Annotated[
        bool, typer.Option("--send-test-alert", help="Send a message by every channel of alerts")
    ] = False,
) -> None:
    """Check settings, keys, clock, stores and networks, and say what to mend."""
    from aq_platform.doctor import examine

    with _readable_errors():
        healthy = examine(out, send_test_alert=send_test_alert)
    if not healthy:
        raise typer.Exit(1)


@app.command()
def sandbox(
    *,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="Serve recorded answers, of each network from its own folder in this one",
            file_okay=False,
        ),
    ] = None,
    fetched_by: Annotated[
        str | None, typer.Option(help="With --replay: the newest recording by this YYYY-MM")
    ] = None,
    stations: Annotated[
        int, typer.Option(help="Number of generated stations", min=1)
    ] = SANDBOX_STATIONS,
    seed: Annotated[int, typer.Option(help="Another seed gives other readings")] = 1,
    auth: Annotated[bool, typer.Option("--auth", help="Demand a login")] = False,
    now: Annotated[
        str | None, typer.Option(help="Fixed time (ISO 8601); default the real one")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Let the time run from --now, this many times faster")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one")] = 8600,
) -> None:
    """Run the local networks alone; prints the settings that point the platform at them."""
    from aq_sandbox.server import SandboxConfig, serve

    with _readable_errors():
        if speed is not None and now is None:
            raise SettingsError("--speed needs --now: the time to start from.")
        if replay is not None and not replay.is_dir():
            raise SettingsError(f"--replay {replay}: no such folder.")
        config = SandboxConfig(
            stations=stations,
            seed=seed,
            replay=replay,
            fetched_by=fetched_by,
            auth=auth,
            now=None if now is None else _instant(now),
            speed=speed,
        )

        def announce(url: str, environment: dict[str, str]) -> None:
            for name, value in environment.items():
                print(f"export {name}={value}")
            print(f"# sandbox ready at {url}; Ctrl-C stops it", flush=True)

        try:
            serve(config, host, port, announce)
        except OSError as error:
            raise SettingsError(
                f"{host}:{port} cannot be listened on ({error.strerror}): choose another --port."
            ) from None


def _platform() -> Platform:
    from aq_resources.platform import Platform

    return Platform.from_environment()


def _checked_platform() -> Platform:
    from aq_platform.demo import refuse_mixing

    platform = _platform()
    refuse_mixing(platform)
    return platform


def _ill(platform: Platform, names: list[str] | None = None) -> bool:
    """Say what to mend in the entries of networks that are left out; whether there are any."""
    told = [reason for name, reason in platform.ill.items() if not names or name in names]
    for reason in told:
        err.print(f"[bold red]aq:[/] {_plain(SettingsError(reason))}", soft_wrap=True)
    return bool(told)


@contextmanager
def _runner() -> Iterator[Runner]:
    from aq_platform.definitions import build_defs
    from aq_platform.instance import open_instance
    from aq_platform.runs import Runner

    platform = _checked_platform()
    with open_instance(platform.settings) as instance:
        try:
            yield Runner(platform, build_defs(platform), instance)
        finally:
            platform.close()


def _carry_out(
    runner: Runner,
    config: NetworkConfig,
    what: str,
    *arguments: date,
    forecasts: bool = False,
) -> bool:
    """Run the steps with progress bars; False where one failed or a station did."""
    from aq_platform.show import bars, print_outcome

    steps = (
        runner.refresh(config)
        if what == "refresh"
        else runner.backfill(config, *arguments, forecasts=forecasts)
    )
    ok = True
    with bars(err, config.name) as begin:
        runner.on_start = begin
        for outcome in steps:
            print_outcome(outcome, out, err)
            ok &= outcome.success and not outcome.incomplete
    return ok


def _chosen(platform: Platform, names: list[str] | None) -> list[NetworkConfig]:
    if not names:
        return list(platform.networks.values())
    for name in names:
        if name not in platform.networks and name not in platform.ill:
            raise SettingsError(
                f"No enabled network {name!r}; networks.yaml enables: "
                f"{', '.join(platform.networks) or 'none'}."
            )
    return [platform.networks[name] for name in names if name in platform.networks]


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no day: write YYYY-MM-DD.") from None


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--now {text!r} is no ISO 8601 time.") from None
    if moment.tzinfo is None:
        raise SettingsError(f"--now {text!r} needs a zone: end it with Z.")
    return moment


def _point_at_sandbox(environment: dict[str, str]) -> None:
    from aq_platform.demo import claim_for_sandbox

    os.environ.update(environment)
    claim_for_sandbox(_platform())
