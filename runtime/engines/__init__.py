"""Engines: the runner of step graphs that this machine offers, chosen and kept up to date."""
