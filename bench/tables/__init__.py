"""Verdicts on real tables beside those of other detectors: ``make bench-tables``."""
