"""The command `sluice serve`."""

from __future__ import annotations

import click

from service.commands.style import Documented, settings_with, store_option
from service.device_option import device_option, devices_option


@click.command(
    cls=Documented,
    examples=(
        "sluice serve",
        "sluice serve --port 9000 --store my-store",
        "SLUICE_DEFAULT_MODEL=moons sluice serve --device cpu",
    ),
    exit_codes={
        0: "ended by SIGTERM, SIGHUP or Ctrl-C, and everything in flight was finished",
        1: "the port is taken, a setting or a file of keys is unusable, or a process died three times within a minute",
    },
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.  [default: 8000]")
@device_option
@devices_option
@store_option
def serve(**options: object) -> None:
    """Serve every model's default version. Options win over SLUICE_ variables."""
    from service.exposure import check_exposure
    from service.keys import UnusableKeys
    from service.logs import log_as
    from service.settings import UnusableToken
    from service.supervisor import PortTaken, listen, listen_for_metrics, supervise

    log_as("supervisor")
    if options["device"] is not None and options["devices"] is not None:
        raise click.UsageError("--devices takes the place of --device: give one of them")
    settings = settings_with(**options)
    if settings.trusted_keys is not None and not settings.trusted_keys.is_file():
        raise click.ClickException(f"the file of trusted keys {settings.trusted_keys} is not there")
    try:
        settings.admin_token()
        check_exposure(settings)
        listener, metrics = listen(settings), listen_for_metrics(settings)
    except (UnusableToken, UnusableKeys, PortTaken) as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(supervise(settings, listener, metrics))
