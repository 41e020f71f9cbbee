"""Other servers with the same model behind them, each as its own documentation would have it: a file a peer."""
