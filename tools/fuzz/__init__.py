"""Damaged and odd files of every kind that `prepare` reads, and whether any of them breaks it."""
