"""The offline side: data to a trained, evaluated, published flow."""
