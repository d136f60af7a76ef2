"""The training loop and what it uses: `step` with all losses, data order, state, run folder."""
