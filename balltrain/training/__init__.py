"""How one model is trained."""
