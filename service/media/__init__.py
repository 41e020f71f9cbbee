"""Bytes to numpy arrays and back: pictures, npy, JSON, masks, grids, and the documents that answers are made of."""
