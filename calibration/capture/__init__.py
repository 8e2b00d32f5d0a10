"""Capture of a calibration set from a clip or a camera."""
