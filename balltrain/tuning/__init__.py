"""How many are trained: sweep, search, early stopping, placement, journal, resume."""
