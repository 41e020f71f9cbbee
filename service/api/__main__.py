"""One api process: `python -m service.api LISTENER[,LISTENER] NAME=ENDPOINT ...`, as the supervisor starts it."""

import sys

from service.processes import die_with_parent

die_with_parent()  # before the imports, which take a second in which the parent may die

from service.api.server import serve  # noqa: E402
from service.logs import log_as  # noqa: E402

log_as("api")
serve([int(number) for number in sys.argv[1].split(",")], dict(argument.split("=", 1) for argument in sys.argv[2:]))
