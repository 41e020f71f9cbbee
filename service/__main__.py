"""`python -m service`: the same as the command `sluice`."""

from service.cli import main

main()
