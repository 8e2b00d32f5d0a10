"""The calibration set: pairs of frames on disk."""
