"""A device process: `python -m service.device ENDPOINT RESTARTS [NAME]`, as the supervisor starts it."""

import sys

from service.processes import die_with_parent

die_with_parent()

from service.device.main import main  # noqa: E402 (imports torch, which takes seconds)

main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
