"""A worker process: ``python -m service.offline.bulk FOLDER`` computes the parts whose numbers come on its input.

What it tells goes to its output, a JSON document a line.
"""

from __future__ import annotations

from service.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from service.offline.bulk.processes import serve

    serve()
