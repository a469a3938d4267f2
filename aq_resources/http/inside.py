"""Whether a host is this machine or a network of its own, where no network of the world is."""

from __future__ import annotations

import ipaddress
import socket


def is_inside(host: str) -> bool:
    """Whether a host's name stands for a private, loopback, link-local or other special address.

    Args:
        host: A name or an address, as in an URL.

    Returns:
        True also where only one of several addresses is such. False for a name that no one knows:
        the request to it fails by itself.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(one.partition("%")[0]).is_global for one in found)
