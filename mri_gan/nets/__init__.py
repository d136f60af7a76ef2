"""The networks; they know nothing of files."""
