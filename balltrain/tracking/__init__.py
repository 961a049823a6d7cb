"""Where the numbers are mirrored."""
