"""Devices as options of a command."""

from __future__ import annotations

from collections.abc import Callable

import click

from service.device_names import checked_device, checked_devices

_Callback = Callable[[click.Context, click.Parameter, str | None], str | None]


def _checking(check: Callable[[str], str]) -> _Callback:
    """Refuse what ``check`` raises ValueError for, as a wrong use of the command."""

    def checked(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else check(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return checked


device_option = click.option(
    "--device",
    metavar="[auto|cpu|cuda|cuda:N]",
    callback=_checking(checked_device),
    help="Where to compute. cuda is every GPU for a service and for a run into a folder, else the first one.",
)
devices_option = click.option(
    "--devices",
    metavar="DEVICE,DEVICE,...",
    callback=_checking(checked_devices),
    help="A device process for each of these, in place of --device: cuda:0,cuda:1 or cpu,cpu.",
)
