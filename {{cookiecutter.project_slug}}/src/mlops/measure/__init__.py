"""How good a model is on held-out rows, and how sure we are of it."""
