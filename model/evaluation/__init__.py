"""Evaluation: scenes of known motion, structures, and the methods compared with."""
