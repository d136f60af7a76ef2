"""A survey of scans before anything is written."""
