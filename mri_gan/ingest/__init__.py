"""From archives and volumes to slices in a store; never imports torch."""
