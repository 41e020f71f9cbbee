"""Tables: their schema, how files of them are read, and how cells become numbers. No torch; pyarrow only for files."""

from tables.schema import CATEGORY, CONTINUOUS, INTEGER, KINDS, TIME, Column, Kind, Schema

__all__ = ["CATEGORY", "CONTINUOUS", "INTEGER", "KINDS", "TIME", "Column", "Kind", "Schema"]
