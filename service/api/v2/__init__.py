"""What the routes under /v2 share: the functions of a model as tensors in and tensors out."""
