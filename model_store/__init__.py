"""The format of a published model and the store that keeps them."""
