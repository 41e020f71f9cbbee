"""One api process: `python -m service.api ENDPOINT LISTENER`, as the supervisor starts it."""

import sys

from service.processes import die_with_parent

die_with_parent()  # before the imports, which take a second in which the parent may die

from service.api.server import serve  # noqa: E402
from service.logs import log_as  # noqa: E402

log_as("api")
serve(sys.argv[1], int(sys.argv[2]))
