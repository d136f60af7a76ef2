"""A store written in the format of another program."""
