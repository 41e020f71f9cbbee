"""What a GPU gives: one command, whose sections can also be run on a CPU in small."""
