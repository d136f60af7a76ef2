"""Which sources there are, whose they are, and in which order they are read."""
