"""Geometry of a camera: boards to print, the lens, the scale of a plane."""
