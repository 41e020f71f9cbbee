"""Thin translation between HTTP and the engine: a file for each family of addresses."""
