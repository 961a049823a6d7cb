"""balltrain from Python: the functions that the command line calls."""
