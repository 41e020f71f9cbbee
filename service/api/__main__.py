"""One api process: `python -m service.api ENDPOINT LISTENER`, as the supervisor starts it."""

import sys

from service.api.server import serve
from service.logs import log_as

log_as("api")
serve(sys.argv[1], int(sys.argv[2]))
