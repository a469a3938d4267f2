"""Keys of devices, `aqd_<id>_<secret>`: who may write and read for which fleet."""

from __future__ import annotations

import hmac
import re
import secrets
from datetime import datetime

import msgspec

from aq_resources.failures import SettingsError
from aq_resources.keys import KeyFile, KeyRing, hashed
from aq_resources.settings import Settings

# Without a dot: it separates fleet and device in the station's id.
FLEET = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
DEVICE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_KEY = re.compile(r"aqd_([0-9a-f]{8})_([0-9a-f]{64})")
_ID_BYTES, _SECRET_BYTES = 4, 32


class DeviceKey(msgspec.Struct, frozen=True):
    """One key. `devices`: those it is for; None for all of the fleet."""

    fleet: str
    sha256: str
    created_at: datetime
    devices: tuple[str, ...] | None = None
    write: bool = True
    read: bool = True
    # Readings a second; None: the setting's.
    rate: float | None = None
    revoked_at: datetime | None = None

    def covers(self, device: str) -> bool:
        """Whether it is for a device of the fleet."""
        return self.devices is None or device in self.devices


Keys = dict[str, DeviceKey]


def keys_file(settings: Settings) -> KeyFile[DeviceKey]:
    """The file with all keys, by id."""
    return KeyFile(settings.home / "devices" / "keys.json", Keys)


def create_key(keys: Keys, key: DeviceKey) -> str:
    """Add a key.

    Args:
        keys: Takes it.
        key: What it is for; its hash is set here.

    Returns:
        The key itself, which is kept nowhere.

    Raises:
        SettingsError: A fleet's or device's name has a form that none may have.
    """
    if not FLEET.fullmatch(key.fleet):
        raise SettingsError(
            f"{key.fleet!r} is no name of a fleet: up to 32 of a-z, 0-9 and -, such as school-7."
        )
    for device in key.devices or ():
        if not DEVICE.fullmatch(device):
            raise SettingsError(f"{device!r} is no id of a device: up to 64 of A-Z a-z 0-9 _ . : -")
    secret = secrets.token_hex(_SECRET_BYTES)
    while (name := secrets.token_hex(_ID_BYTES)) in keys:
        continue
    keys[name] = msgspec.structs.replace(key, sha256=hashed(secret))
    return f"aqd_{name}_{secret}"


class DeviceKeys(KeyRing[DeviceKey]):
    """The keys as the endpoint knows them."""

    def find(self, presented: str) -> tuple[str, DeviceKey] | None:
        """Id and key for what was presented; None where it is none, or no longer."""
        match = _KEY.fullmatch(presented)
        if match is None:
            return None
        name, secret = match.groups()
        key = self.keys.get(name)
        if key is None or key.revoked_at is not None:
            return None
        return (name, key) if hmac.compare_digest(key.sha256, hashed(secret)) else None
