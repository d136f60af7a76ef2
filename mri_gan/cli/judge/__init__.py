"""The commands that judge a run."""
