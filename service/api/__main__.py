"""One api process: `python -m service.api ENDPOINT LISTENER`, as the supervisor starts it."""

import logging
import sys

from service.api.server import serve

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
serve(sys.argv[1], int(sys.argv[2]))
