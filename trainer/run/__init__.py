"""The training loop with everything that it needs: state, ranks, display, randomness, stopping."""
