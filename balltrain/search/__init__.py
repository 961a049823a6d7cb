"""What decides what is tried and what goes on: space, searchers, stopping, controller. Knows no Ray cluster."""
