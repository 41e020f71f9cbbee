"""Other servers of the same model, one file each, set up as their own documentation recommends."""
