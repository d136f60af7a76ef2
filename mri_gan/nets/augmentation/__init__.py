"""Adaptive augmentation as in StyleGAN2-ADA: what is drawn, and how it is applied."""
