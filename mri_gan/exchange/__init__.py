"""From a store to files that other tools read; never imports torch."""
