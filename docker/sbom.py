"""What Sluice runs on: a CycloneDX bill of materials, or the licences, of the packages that a lock names.

    python docker/sbom.py requirements.lock > sbom.json
    python docker/sbom.py requirements.lock --licences

It reads the metadata of the packages that are installed for the interpreter that runs it, and nothing else. A package
of the lock that is not installed, or in another version, ends it with exit code 1. Without a lock, all installed
packages are listed, as in the image, which has no lock: docker run --entrypoint python3 sluice:cpu /opt/sbom.py
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_REQUIRED = re.compile(r"^[A-Za-z0-9._-]+")
_LONGEST_LICENCE = 100
"""Characters of a License field that is a name; longer ones are the licence's text."""


def canonical(name: str) -> str:
    """A package's name as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: Path) -> dict[str, str]:
    """The versions that a lock names, by canonical names. Included files are read too."""
    found: dict[str, str] = {}
    for line in lock.read_text("utf-8").splitlines():
        if line.startswith("-r "):
            found |= pinned(lock.parent / line[3:].strip())
        elif pin := _PIN.match(line):
            found[canonical(pin[1])] = pin[2]
    return found


def licence_of(about: metadata.PackageMetadata) -> str:
    """The licence that a package names: an SPDX expression, a name, or what its classifiers say."""
    name = _member(about, "License")
    if expression := _member(about, "License-Expression"):
        return expression
    classified = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or () if "License ::" in each]
    if classified:
        return "; ".join(classified)
    return name if name and len(name) <= _LONGEST_LICENCE and "\n" not in name else "unknown"


def _member(about: metadata.PackageMetadata, name: str) -> str:
    return str(about[name]).strip() if name in about else ""


def packages(versions: dict[str, str] | None) -> Iterator[metadata.Distribution]:
    """The installed packages that a lock names, or all of them, by name. Ends the program where one is missing."""
    installed = {canonical(each.name): each for each in metadata.distributions() if each.name}
    for name in sorted(installed if versions is None else versions):
        there = installed.get(name)
        # A build for one device has a local label, as in 2.13.0+cpu, which a lock does not hold.
        if there is None or (versions is not None and there.version.partition("+")[0] != versions[name]):
            found = "not installed" if there is None else f"installed as {there.version}"
            sys.exit(f"{name} {(versions or {})[name]} is {found}: make the environment anew from the lock")
        yield there


def bill_of(found: list[metadata.Distribution]) -> dict[str, Any]:
    """A document of CycloneDX 1.6. The same packages give the same document."""
    names = {canonical(each.name): _reference(each) for each in found}
    content = "\n".join(sorted(names.values()))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "sluice", "bom-ref": "sluice"}},
        "components": [_component(each) for each in found],
        "dependencies": [
            {"ref": "sluice", "dependsOn": sorted(names.values())},
            *({"ref": _reference(each), "dependsOn": sorted(_needed(each, names))} for each in found),
        ],
    }


def _reference(package: metadata.Distribution) -> str:
    return f"pkg:pypi/{canonical(package.name)}@{package.version.replace('+', '%2B')}"


def _component(package: metadata.Distribution) -> dict[str, Any]:
    licence, spdx = licence_of(package.metadata), _member(package.metadata, "License-Expression")
    named: dict[str, Any] = {"expression": licence} if spdx else {"license": {"name": licence}}
    return {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "purl": _reference(package),
        "licenses": [named],
    }


def _needed(package: metadata.Distribution, names: dict[str, str]) -> set[str]:
    """The listed packages that a package requires."""
    wanted = (_REQUIRED.match(each) for each in package.requires or ())
    return {names[key] for each in wanted if each and (key := canonical(each[0])) in names} - {_reference(package)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path, nargs="?", help="the lock; without one, every installed package")
    parser.add_argument("--licences", action="store_true", help="a line for each package: name, version, licence")
    options = parser.parse_args()
    found = list(packages(None if options.lock is None else pinned(options.lock)))
    if options.licences:
        lines = [f"{each.name} {each.version}: {licence_of(each.metadata)}" for each in found]
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        json.dump(bill_of(found), sys.stdout, indent=1)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
