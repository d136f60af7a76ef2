"""Images out of a trained checkpoint."""
