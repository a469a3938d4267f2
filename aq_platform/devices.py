"""`aq devices`: keys of devices, the broker that they publish to, and made-up devices."""

from __future__ import annotations

from typing import Annotated

import typer

from aq_platform.console import legible, out, readable_errors
from aq_resources.failures import SettingsError

app = typer.Typer(no_args_is_help=True, help="Keys of devices that push, and made-up devices.")


@app.command("add-key")
def add_key(
    fleet: Annotated[str, typer.Argument(help="Fleet, such as school-7")],
    device: Annotated[
        list[str] | None, typer.Option(help="Only for this device; may be repeated")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Readings a second; AQ_INGEST_READINGS_PER_SECOND without", min=0.001),
    ] = None,
    *,
    write: Annotated[bool, typer.Option(help="Whether it may push readings")] = True,
    read: Annotated[bool, typer.Option(help="Whether it may read the fleet's averages")] = True,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    with readable_errors():
        from aq_resources.clock import system_clock
        from aq_resources.device_keys import DeviceKey, create_key, keys_file
        from aq_resources.settings import Settings

        wanted = DeviceKey(
            fleet, "", system_clock(), tuple(device) if device else None, write, read, rate
        )
        with keys_file(Settings()).updated() as keys:
            made = create_key(keys, wanted)
        # Nothing else on standard output: for `KEY=$(aq devices add-key …)`.
        print(made)  # noqa: T201


@app.command("keys")
def list_keys() -> None:
    """List the keys, without what is secret of them."""
    with readable_errors():
        from aq_resources.device_keys import keys_file
        from aq_resources.settings import Settings

        for name, key in sorted(keys_file(Settings()).read().items()):
            rights = " ".join(right for right in ("write", "read") if getattr(key, right))
            devices = "all devices" if key.devices is None else ", ".join(key.devices)
            revoked = f"  revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
            line = f"{name}  {key.fleet}  {devices}  {rights}  {key.created_at:%Y-%m-%d}{revoked}"
            out.print(legible(line), highlight=False, markup=False, soft_wrap=True)


@app.command("revoke-key")
def revoke_key(name: Annotated[str, typer.Argument(help="Its id, as `aq devices keys`")]) -> None:
    """Let a key count no longer; a running `aq ingest` knows within a second."""
    with readable_errors():
        import msgspec

        from aq_resources.clock import system_clock
        from aq_resources.device_keys import keys_file
        from aq_resources.settings import Settings

        with keys_file(Settings()).updated() as keys:
            if name not in keys:
                raise SettingsError(f"There is no key {name!r}: aq devices keys lists them.")
            keys[name] = msgspec.structs.replace(keys[name], revoked_at=system_clock())


@app.command()
def mqtt() -> None:
    """Take in what devices publish to the broker at AQ_MQTT_URL, until a signal comes."""
    with readable_errors():
        from aq_serving.ingest.mqtt.server import serve_mqtt

        serve_mqtt()


@app.command()
def simulate(
    *,
    key: Annotated[str, typer.Option(help="Key to push with", envvar="AQ_DEVICE_KEY")],
    devices: Annotated[int, typer.Option(help="How many devices", min=1)] = 50,
    url: Annotated[str, typer.Option(help="Where `aq ingest` listens")] = "http://127.0.0.1:8710",
    seconds: Annotated[int | None, typer.Option(help="How long; until Ctrl-C without")] = None,
    batch: Annotated[int, typer.Option(help="Messages in a request", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Another seed gives other readings")] = 1,
    faults: Annotated[
        bool, typer.Option("--faults", help="Late, doubled, shuffled and broken messages too")
    ] = False,
    hostile: Annotated[
        bool, typer.Option("--hostile", help="And bodies that no device sends")
    ] = False,
) -> None:
    """Push made-up readings, one a second of each device, and count the answers."""
    import asyncio
    from collections import Counter

    from aq_sandbox.devices import Fleet, Target, simulate

    def report(counts: Counter[str]) -> None:
        line = "  ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        out.print(line, highlight=False, markup=False, soft_wrap=True)

    with readable_errors():
        target = Target(url, key, batch, faults, hostile)
        report(asyncio.run(simulate(Fleet(devices, seed), target, seconds, report)))
