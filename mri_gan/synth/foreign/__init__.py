"""Weights that other programs trained, brought in without running anything of theirs."""
