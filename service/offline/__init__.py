"""Models on files, without a service: `sluice score`, `sample`, `inpaint`, `bench`."""

import os

# As the trainer does (trainer/commands): threads wait for each other by spinning, which takes much time where another
# process wants the same CPUs. Read when PyTorch is imported, by these commands and by the processes they start.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
"""How threads of a command wait for each other."""
