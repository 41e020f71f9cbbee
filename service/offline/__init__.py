"""Scoring files without a service: `sluice score`."""
