"""One file a route: what it takes, what it asks the device, and how it answers."""
