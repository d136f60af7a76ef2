"""The LMDB folder that holds every slice at every resolution level."""
