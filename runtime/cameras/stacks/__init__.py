"""Recordings that are stacks of raw pictures: each format says how large they are, and gives one by its number."""
