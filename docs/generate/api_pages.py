"""The pages of the flows API and of the Python client: a table of names, and a directive of mkdocstrings for each.

In the table each name links to its source file, so that the page is of use as plain Markdown as well.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import sluice_client

import flows
from docs.generate.markdown import Table, first_line
from flows import anomaly, inpainting

ROOT = Path(__file__).parents[2]
FLOWS = """\
# flows API

The mathematics as a library: `import flows` needs torch and nothing else. Every public class has an example, and every
example is run by a test. The tables link to the source; the site shows signatures, docstrings and examples below them.

A flow is built, evaluated and sampled like this:

```python
import torch

import flows

flow = flows.realnvp((2,), couplings=4, hidden=[32], image=False)
x = torch.randn(5, 2)
print(flow.log_prob(x).shape)  # torch.Size([5])
print(flow.sample(3, torch.Generator().manual_seed(0)).shape)  # torch.Size([3, 2])
```

The words that it uses are in [architecture](../architecture.md#words), the mathematics in [how a flow gives a
density](../understanding/flows.md).

"""
CLIENT = """\
# Client API

Every public name of `sluice_client`. How to use it, with examples that a test runs: [the Python client](../client.md).

"""
_INPAINTING = "Inpaintings as a library; the module's docstring has the loop."
_ANOMALY = "Statistics, nonconformity scores, p-values and maps."


def flows_page() -> str:
    """Every public name of `flows`, `flows.inpainting` and `flows.anomaly`."""
    parts = [FLOWS]
    for title, words, module in (
        ("flows", first_line(flows), flows),
        ("flows.inpainting", _INPAINTING, inpainting),
        ("flows.anomaly", _ANOMALY, anomaly),
    ):
        parts += [f"## {title}\n\n{words}\n\n", _names(module), "\n", _directives(module)]
    return "".join(parts).rstrip() + "\n"


def client_page() -> str:
    """Every public name of `sluice_client`."""
    return (CLIENT + _names(sluice_client) + "\n" + _directives(sluice_client)).rstrip() + "\n"


def _names(module: ModuleType) -> str:
    table = Table("name", "is")
    for name, public in _public(module):
        table.row(f"[`{name}`]({_source(public)})", first_line(public))
    return table.text()


def _directives(module: ModuleType) -> str:
    """What mkdocstrings shows: each name where it is defined."""
    return "".join(f"::: {public.__module__}.{public.__qualname__}\n\n" for _, public in _public(module))


def _public(module: ModuleType) -> list[tuple[str, Any]]:
    """Classes and functions in ``__all__``; constants have no docstring of their own."""
    named = ((name, getattr(module, name)) for name in module.__all__)
    return [(name, each) for name, each in named if inspect.isclass(each) or inspect.isfunction(each)]


def _source(public: Any) -> str:
    """The file of this repository in which something is defined, seen from docs/reference/."""
    inside = public.__module__.replace(".", "/")
    places = (f"{room}{inside}{end}" for room in ("", "client/") for end in (".py", "/__init__.py"))
    return f"../../{next(place for place in places if (ROOT / place).is_file())}"
