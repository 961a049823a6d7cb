"""Ball detection: which of nine colours are in a 100x100 image, and where."""
