"""The `aq` command: its subcommands and their options. What they do is in the other modules."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aq_platform import devices
from aq_platform.console import err, legible, out, readable_errors, report_invalid
from aq_platform.garbage import look_less_often
from aq_resources.failures import SettingsError

if TYPE_CHECKING:
    from aq_platform.arguments import Moment
    from aq_platform.query import Tables
    from aq_resources.keys import KeyFile
    from aq_sandbox.server import SandboxConfig
    from aq_serving.keys import ApiKey

app = typer.Typer(
    name="aq",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(devices.app, name="devices")

DEMO_DAYS = 60
# As many as networks.yaml names by default, and room for more.
SANDBOX_STATIONS = 100
METRICS_PORT = 8720
Networks = Annotated[list[str] | None, typer.Argument(help="Networks; all enabled ones if none")]


def dashboard_address() -> str:
    """Where `aq up` and `aq serve` show the pages by the environment's settings."""
    from aq_serving.settings import ApiSettings

    settings = ApiSettings()
    return f"http://{settings.host}:{settings.port}"


def _print_version(wanted: bool) -> None:  # noqa: FBT001
    """Of the project's own metadata, since the image runs the code without installing it."""
    if wanted:
        import tomllib

        from aq_resources.project import PROJECT_ROOT

        project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        out.print(f"aq {project['version']}", highlight=False)
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", help="Print the version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Air-quality data platform: pull, clean, average, forecast and serve."""
    look_less_often()
    # A command that logs text has no need of what makes JSON.
    if os.environ.get("AQ_LOG_FORMAT"):
        from aq_resources.logs import configure_logs

        with readable_errors():
            configure_logs()


class Format(enum.StrEnum):
    """How `aq query` prints, or what it writes."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"
    arrow = "arrow"


class Language(enum.StrEnum):
    """What `aq connect` prints."""

    sql = "sql"
    python = "python"
    r = "r"
    jdbc = "jdbc"
    text = "text"


@app.command()
def demo(
    days: Annotated[int, typer.Option(help="Days of history to load", min=2)] = DEMO_DAYS,
) -> None:
    """Run the main job on the sandbox, from nothing, and print what it found."""
    from aq_sandbox.server import SandboxConfig, running_sandbox

    with readable_errors(), running_sandbox(SandboxConfig(stations=SANDBOX_STATIONS)) as sandbox:
        from aq_platform.demo import print_findings
        from aq_platform.execution import carry_out, open_runner
        from aq_platform.sandbox_guard import use_sandbox
        from aq_science.windows import DAY

        use_sandbox(sandbox.environment)
        with open_runner() as runner:
            today = runner.services.now().date()
            ok = not report_invalid(runner.services)
            for config in runner.services.networks.values():
                first = max(today - (days - 1) * DAY, config.start_date)
                ok &= carry_out(runner, config.name, runner.backfill(config, first, today))
                ok &= carry_out(runner, config.name, runner.refresh(config))
            print_findings(runner.services, out)
        out.print(
            "\nSee it: [bold]make up[/] (or `aq up --sandbox`) opens the Dagster UI, and the "
            f"dashboard at {dashboard_address()}",
            soft_wrap=True,
        )
        if not ok:
            raise typer.Exit(1)


@app.command()
def up(
    *,
    sandbox: Annotated[bool, typer.Option(help="Take readings from the local sandbox")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the UI")] = 3000,
    read_only_port: Annotated[
        int | None, typer.Option(help="Port of a second UI in which nothing can be changed")
    ] = None,
    api_port: Annotated[
        int | None, typer.Option(help="Port of the API; AQ_API_PORT without")
    ] = None,
    api: Annotated[bool, typer.Option(help="Serve the API too")] = True,
) -> None:
    """Start the Dagster UI, the daemon and the API; Ctrl-C stops all."""
    with readable_errors():
        if sandbox:
            from aq_platform.sandbox_guard import use_sandbox
            from aq_sandbox.server import SandboxConfig, running_sandbox

            with running_sandbox(SandboxConfig(stations=SANDBOX_STATIONS)) as server:
                use_sandbox(server.environment)
                code = _serve(host, port, read_only_port, api_port, api=api)
        else:
            code = _serve(host, port, read_only_port, api_port, api=api)
    raise typer.Exit(code)


def _serve(
    host: str, port: int, read_only_port: int | None, api_port: int | None, *, api: bool
) -> int:
    from aq_platform.sandbox_guard import guarded_services
    from aq_platform.up import Ports, serve_platform
    from aq_serving.settings import ApiSettings

    if not api:
        api_port = None
    elif api_port is None:
        api_port = ApiSettings().port

    services = guarded_services()
    report_invalid(services)
    return serve_platform(services, host, Ports(port, read_only_port, api_port), out)


@app.command()
def prepare() -> None:
    """Bring Dagster's instance up to date, set its pools' limits and create the tables.

    `aq up` does the last two itself.
    """
    from aq_platform.instance import open_instance, set_pool_limits
    from aq_resources.services import Services

    with readable_errors():
        services = Services.from_environment()
        report_invalid(services)
        with open_instance(services.settings) as instance:
            instance.upgrade(lambda line: out.print(line, highlight=False, markup=False))
            set_pool_limits(instance, services.networks.values())
        services.warehouse.prepare()
        services.close()
        for config in services.networks.values():
            out.print(f"{config.name}: {config.concurrent_pulls} pulls at once", highlight=False)


@app.command()
def backfill(
    networks: Networks = None,
    *,
    start: Annotated[str, typer.Option(help="First day, YYYY-MM-DD (UTC)")],
    end: Annotated[str, typer.Option(help="Last day, included")],
    forecasts: Annotated[
        bool, typer.Option("--forecasts", help="Hindcasts and their scores too")
    ] = False,
) -> None:
    """Load stations, raw pulls, hourly readings and daily averages of a range of days."""
    with readable_errors():
        from aq_platform.arguments import check_days, choose_networks, parse_days
        from aq_platform.execution import carry_out, open_runner

        first, last = parse_days(start, end)
        with open_runner() as runner:
            chosen = choose_networks(runner.services, networks)
            check_days(first, last, runner.services.now().date(), chosen)
            invalid = report_invalid(runner.services, networks)
            ok = [
                carry_out(
                    runner, config.name, runner.backfill(config, first, last, forecasts=forecasts)
                )
                for config in chosen
            ]
        if invalid or not all(ok):
            raise typer.Exit(1)


@app.command()
def refresh(networks: Networks = None) -> None:
    """Do one hourly refresh now: newest readings, daily averages, forecasts and their scores."""
    with readable_errors():
        from aq_platform.arguments import choose_networks
        from aq_platform.execution import carry_out, open_runner

        with open_runner() as runner:
            chosen = choose_networks(runner.services, networks)
            invalid = report_invalid(runner.services, networks)
            ok = [carry_out(runner, config.name, runner.refresh(config)) for config in chosen]
        if invalid or not all(ok):
            raise typer.Exit(1)


@app.command()
def query(
    sql: Annotated[
        str | None, typer.Argument(help="SQL over the schemas air_quality and <network>")
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="Take the SQL from a file", exists=True, dir_okay=False)
    ] = None,
    format: Annotated[Format, typer.Option(help="Form of the result")] = Format.table,  # noqa: A002
    output: Annotated[
        Path | None,
        typer.Option(help="Write CSV, JSON, Parquet or Arrow to a file", dir_okay=False),
    ] = None,
    every_row: Annotated[
        bool, typer.Option("--all", help="A table of every row, however many")
    ] = False,
    as_known_at: Annotated[
        str | None,
        typer.Option(
            help="Hourly readings and daily averages as known at this time (2026-01-31T05:00Z)"
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="With --as-known-at: first day, YYYY-MM-DD; all without")
    ] = None,
    end: Annotated[str | None, typer.Option(help="With --as-known-at: last day, included")] = None,
) -> None:
    """Run read-only SQL over the warehouse; standard output carries the result alone.

    A long table shows its first and last rows. Every other form has all, and leaves the platform:
    standard error gives the attribution it needs, and Parquet carries it.

    With --as-known-at only answers received by then count. The readings are made for the query,
    which takes a while for many days.
    """
    with readable_errors():
        from aq_platform.arguments import parse_moment
        from aq_platform.query import run_query, write_query

        if (sql is None) == (file is None):
            raise SettingsError("aq query needs its SQL: as the argument, or by --file.")
        if output is not None and format is Format.table:
            raise SettingsError("--output needs --format csv, json, parquet or arrow.")
        if output is None and format in (Format.parquet, Format.arrow):
            raise SettingsError(f"--format {format.value} needs --output FILE.")
        moment = parse_moment(as_known_at, start, end)
        text = (sql if file is None else file.read_text("utf-8")) or ""
        tables = _tables(moment)
        if output is None:
            lines = run_query(tables, text, format.value, out, sys.stdout, every_row=every_row)
        else:
            lines = write_query(tables, text, format.value, output)
        for line in lines:
            err.print(legible(line), highlight=False, markup=False, soft_wrap=True)


def _tables(moment: Moment | None) -> Tables:
    """What a query reads: the tables as they are, or as they were known."""
    if moment is None:
        from aq_platform.query import TablesNow

        return TablesNow.of_environment()
    from aq_platform.as_known import TablesThen
    from aq_resources.services import Services

    return TablesThen(
        Services.from_environment(),
        moment,
        lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True),
    )


@app.command()
def backtest(
    *,
    readings: Annotated[
        Path,
        typer.Option(
            help="Parquet with station_id, parameter, hour and value", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Parquet to write, a row a forecast", dir_okay=False)
    ],
    since: Annotated[
        str | None, typer.Option(help="First issue time (2026-01-31T05:00Z); after 8 weeks without")
    ] = None,
    refit_days: Annotated[int, typer.Option(min=1, help="Days from one fit to the next")] = 7,
    stations: Annotated[
        Path | None,
        typer.Option(
            help="Parquet or CSV with station_id, latitude and longitude",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    each_method: Annotated[
        bool, typer.Option("--each-method", help="Score every method by itself as well")
    ] = False,
) -> None:
    """Forecast past hours of a file as if each were now, and print how good that was."""
    with readable_errors():
        from aq_platform.arguments import parse_issue_time
        from aq_platform.backtest import print_scores, run_backtest

        first = None if since is None else parse_issue_time(since, "--since")
        scores = run_backtest(
            readings, output, first, refit_days, err, stations, each_method=each_method
        )
        print_scores(scores, out)


@app.command()
def export(
    networks: Networks = None,
    *,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; exports/ on the object store without it"),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option(help="A table, such as daily_averages; all without")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Leave files of months and years alone that ended before YYYY-MM-DD"),
    ] = None,
) -> None:
    """Write every table as plain Parquet; only files whose rows have changed are written again."""
    with readable_errors():
        from aq_platform.arguments import choose_networks, parse_day
        from aq_platform.export import Outcome, export_tables
        from aq_resources.services import Services

        services = Services.from_environment()
        chosen = choose_networks(services, networks)
        day = None if since is None else parse_day(since, "--since")
        outcome = Outcome()
        _print_lines(export_tables(services, chosen, table or [], to, day, outcome))
        err.print(
            f"{outcome.written} written, {outcome.unchanged} unchanged, {outcome.removed} removed",
            highlight=False,
        )


@app.command()
def connect(
    *,
    format: Annotated[  # noqa: A002
        Language, typer.Option(help="The other program's language; text: how to use each of them")
    ] = Language.sql,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Load the extensions of this installation, for a DuckDB of the same version",
        ),
    ] = False,
) -> None:
    """Print what another program needs to open the warehouse, read-only: no secret is among it."""
    with readable_errors():
        from aq_platform.connecting import connection_lines
        from aq_resources.settings import Settings
        from aq_resources.warehouse.location import WarehouseLocation

        location = WarehouseLocation.of(Settings())
        _print_lines(connection_lines(location, format.value, offline=offline))


@app.command()
def why(
    network: Annotated[str, typer.Argument(help="Network")],
    station: Annotated[str, typer.Argument(help="Station id")],
    parameter: Annotated[str, typer.Argument(help="Parameter, such as pm25")],
    date: Annotated[str, typer.Argument(help="Local day of the station, YYYY-MM-DD")],
) -> None:
    """Say why hours of a day have no valid value, or the day no mean."""
    with readable_errors():
        from aq_platform.arguments import choose_network, parse_day
        from aq_platform.evidence import why as reasons
        from aq_resources.services import Services

        services = Services.from_environment()
        config = choose_network(services, network)
        _print_lines(reasons(services, config, station, parameter, parse_day(date, "DATE")))


@app.command()
def explain(
    network: Annotated[str, typer.Argument(help="Network")],
    station: Annotated[str, typer.Argument(help="Station id")],
    parameter: Annotated[str, typer.Argument(help="Parameter, such as pm25")],
    time: Annotated[str, typer.Argument(help="An hour in UTC (2026-01-31T05:00Z), or a local day")],
) -> None:
    """Lead from a reading or a daily average back to the bytes that it came from."""
    with readable_errors():
        from aq_platform.arguments import choose_network, parse_day_or_hour
        from aq_platform.evidence import explain as path
        from aq_resources.services import Services

        services = Services.from_environment()
        config = choose_network(services, network)
        _print_lines(path(services, config, station, parameter, parse_day_or_hour(time, "TIME")))


@app.command()
def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; AQ_API_HOST without")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; AQ_API_PORT without")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; AQ_API_WORKERS without", min=1)
    ] = None,
) -> None:
    """Serve stations, readings, averages and forecasts over HTTP, read-only; Ctrl-C stops it."""
    with readable_errors():
        from aq_resources.services import Services
        from aq_serving.older_warehouse import bring_up_to_date
        from aq_serving.server import serve_api
        from aq_serving.settings import ApiSettings

        services = Services.from_environment()
        report_invalid(services)
        bring_up_to_date(services, lambda line: err.print(line, markup=False, soft_wrap=True))
        services.close()
        serve_api(ApiSettings(), host, port, workers)


@app.command()
def ingest(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; AQ_INGEST_HOST without")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; AQ_INGEST_PORT without")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; AQ_INGEST_WORKERS without", min=1)
    ] = None,
) -> None:
    """Take readings that devices push over HTTP; Ctrl-C stops it."""
    with readable_errors():
        from aq_serving.ingest.server import serve_ingest
        from aq_serving.ingest.settings import IngestSettings

        serve_ingest(IngestSettings(), host, port, workers)


keys = typer.Typer(no_args_is_help=True, help="Keys of the API: made, listed and taken back.")
app.add_typer(keys, name="keys")


@keys.command("add")
def add_key(name: Annotated[str, typer.Argument(help="Whose key it is")]) -> None:
    """Make a key and print it, once: its hash alone is kept. Servers know it within a second."""
    with readable_errors():
        from aq_serving.keys import add_key as add

        with _key_file().updated() as known:
            key = add(known, name)
        out.print(key, highlight=False, markup=False, soft_wrap=True)


@keys.command("list")
def list_keys() -> None:
    """Print the names of the keys."""
    with readable_errors():
        _print_lines(sorted(_key_file().read()))


@keys.command("remove")
def remove_key(name: Annotated[str, typer.Argument(help="Whose key it is")]) -> None:
    """Take a key back."""
    with readable_errors():
        from aq_serving.keys import remove_key as remove

        with _key_file().updated() as known:
            remove(known, name)


def _key_file() -> KeyFile[ApiKey]:
    from aq_resources.settings import Settings
    from aq_serving.keys import api_key_file
    from aq_serving.settings import ApiSettings

    return api_key_file(ApiSettings().keys_in(Settings().home))


@app.command()
def metrics(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; AQ_METRICS_HOST without")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help=f"Port; AQ_METRICS_PORT without, else {METRICS_PORT}")
    ] = None,
) -> None:
    """Serve measurements of the platform to Prometheus; Ctrl-C stops it.

    `aq up` does it itself where AQ_METRICS_PORT is set.
    """
    with readable_errors():
        from aq_platform.metrics.exporter import serve_metrics
        from aq_resources.metrics.settings import MetricsSettings
        from aq_resources.services import Services

        services, settings = Services.from_environment(), MetricsSettings()
        report_invalid(services)
        chosen = host or settings.host, port or settings.port or METRICS_PORT
        address = f"http://{chosen[0]}:{chosen[1]}/metrics"
        serve_metrics(
            services,
            settings,
            *chosen,
            lambda: err.print(f"Metrics at {address}", highlight=False, soft_wrap=True),
        )


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        out.print(legible(line), highlight=False, markup=False, soft_wrap=True)


@app.command()
def doctor(
    *,
    send_test_alert: Annotated[
        bool, typer.Option("--send-test-alert", help="Send a message by every channel of alerts")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every stored file, and make damaged ones again")
    ] = False,
) -> None:
    """Check settings, keys, clock, stores and networks, and say what to fix."""
    with readable_errors():
        from aq_platform.records import RecordsCheck

        # What takes longest goes first, beside all the rest.
        with RecordsCheck.under_way() as records:
            from aq_platform.doctor import examine

            healthy = examine(out, records, send_test_alert=send_test_alert, deep=deep)
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
    from aq_platform.arguments import parse_time
    from aq_sandbox.server import SandboxConfig

    with readable_errors():
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
            now=None if now is None else parse_time(now, "--now"),
            speed=speed,
        )
        _serve_sandbox(config, host, port)


def _serve_sandbox(config: SandboxConfig, host: str, port: int) -> None:
    from aq_sandbox.server import serve

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


if __name__ == "__main__":
    app()
