"""The device process: `python -m service.device ENDPOINT RESTARTS`, as the supervisor starts it."""

import sys

from service.device.main import main

main(sys.argv[1], int(sys.argv[2]))
