"""The command `sluice sign`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.style import Documented, failures_told, settings_with, store_option


@click.command(
    cls=Documented,
    examples=(
        "sluice sign --make-key sluice-key.pem",
        "sluice sign mnist moons@6 --key sluice-key.pem",
        "SLUICE_TRUSTED_KEYS=sluice-key.pem.pub sluice verify",
    ),
    exit_codes={1: "a model was refused, or a key is unusable; what was named before it is signed"},
)
@click.argument("references", nargs=-1)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="The private key to sign with.")
@click.option(
    "--make-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make a private key here, and beside it the public one, FILE.pub, for SLUICE_TRUSTED_KEYS.",
)
@store_option
def sign(references: tuple[str, ...], key: Path | None, make_key: Path | None, store: Path | str | None) -> None:
    """Sign published models, so that services can refuse all others.

    REFERENCES are names, name@version or name@alias. Each is loaded with every check before it is signed. A service
    serves only models that are signed by a key in the file SLUICE_TRUSTED_KEYS, where that is set.
    """
    from model_store import signatures
    from service.opened_store import store_of

    if (key is None) == (make_key is None) or (make_key is not None and references) or (key and not references):
        raise click.UsageError("give --make-key FILE alone, or --key FILE with the models to sign")
    with failures_told():
        if make_key is not None:
            click.echo(f"made {make_key} and {make_key}.pub, fingerprint {signatures.make_key(make_key)}")
            return
        assert key is not None
        private, shelf = signatures.read_key(key), store_of(settings_with(), store)
        for reference in references:
            name, version = shelf.resolve(reference)
            made = shelf.sign(name, version, private)
            click.echo(f"{name}@{version} is signed by {made}")
