"""Volumes and images to slices at every level."""
