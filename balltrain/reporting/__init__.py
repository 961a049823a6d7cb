"""How people read the numbers."""
