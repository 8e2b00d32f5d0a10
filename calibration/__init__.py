"""Frames to INT8 scales to a quantised graph (not built yet)."""
