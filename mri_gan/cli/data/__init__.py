"""The commands that work on scans and stores."""
