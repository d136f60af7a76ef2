"""Plan to workers to one writer."""
