"""The commands that draw from a trained network."""
