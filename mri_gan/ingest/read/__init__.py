"""Files and archive members to pixels and volumes."""
