"""The training loop and what it uses: step, losses, data order, state and run folder."""
