"""Schedule, data order, losses, checkpoints and the loop."""
