"""mrigan: prepare real MRI, train generative networks on it, look at what they make."""

__version__ = "0.1.0"
