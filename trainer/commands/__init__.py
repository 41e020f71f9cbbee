"""The commands: sluice-train, sluice-calibrate, and the quick check of all presets."""

import os

# Threads of one operation wait for each other by spinning, for milliseconds by default. Where another process wants the
# same CPUs, a step then takes many times as long as in one thread (bench/busy_training.py). After so short a spin they
# sleep, and a quiet machine loses nothing. Read when PyTorch is imported: by the commands, so before that.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
