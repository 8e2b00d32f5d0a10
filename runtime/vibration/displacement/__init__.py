"""Displacement: regions of a picture, their sub-pixel motion, noise and scale."""
