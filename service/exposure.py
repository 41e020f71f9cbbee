"""Whether a service may listen where its settings say: beyond this machine only with API keys, or openly on purpose."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

from service import keys
from service.keys import UnusableKeys
from service.settings import Settings


def check_exposure(settings: Settings) -> None:
    """Raises UnusableKeys where the keys cannot be read, or where strangers could ask without one."""
    usable = 0
    if settings.keys_file is not None:
        now = datetime.now(UTC)
        usable = sum(not key.expired(now) for key in keys.read(settings.keys_file))
    hosts = [settings.host]
    if settings.metrics_port is not None and settings.metrics_host is not None:
        hosts.append(settings.metrics_host)
    exposed = [host for host in hosts if not is_loopback(host)]
    if usable or settings.open or not exposed:
        return
    why = (
        "no file of keys is named" if settings.keys_file is None else f"{settings.keys_file} holds no key that is good"
    )
    raise UnusableKeys(
        f"{exposed[0]} can be reached from beyond this machine, and {why}: make a key with `sluice keys create` and "
        "set SLUICE_KEYS_FILE, or set SLUICE_OPEN=1 where strangers are welcome or kept out by a proxy"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
