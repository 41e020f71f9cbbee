"""What is measured of a trained flow, and what people read of it: figures, the model card, pictures."""
