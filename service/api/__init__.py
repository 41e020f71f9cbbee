"""The processes that speak HTTP: FastAPI in front of a device client. They never import torch."""
