"""Clips of events: pre-roll, recorder, encoders and files."""
