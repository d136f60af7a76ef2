"""The commands that train or import networks."""
