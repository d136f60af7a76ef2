"""How good synthetic images are, and whether they copy people they were learned from."""
