"""One page on this machine where a person moves what a generator takes, and sees the slice."""
