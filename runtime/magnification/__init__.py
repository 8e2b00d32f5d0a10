"""Magnification: from settings to a magnifier, in pairwise and band mode."""
