"""The device process: `python -m service.device ENDPOINT`, as the supervisor starts it."""

import sys

from service.device.main import main

main(sys.argv[1])
