"""Files and archive members to pixels and volumes; `scan` says how to add a format."""
