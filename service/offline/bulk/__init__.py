"""Millions of items to a folder of Parquet: parts with fixed bounds, written one by one, so that a run can go on."""
