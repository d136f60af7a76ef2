"""Finding copies of training slices: search, comparison by tiles, limits, planted copies."""
