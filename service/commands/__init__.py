"""The subcommands of `sluice`, a file each, and the style that they share. Heavy imports stay inside functions."""
