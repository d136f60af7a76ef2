"""What `import mri_gan` offers: the commands as functions, and data sets for PyTorch."""
