"""The online side: HTTP in front of loaded models."""
