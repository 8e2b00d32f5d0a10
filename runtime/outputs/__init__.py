"""Sinks of frames and results, one file a sink."""
