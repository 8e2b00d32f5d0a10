"""Cameras behind GStreamer: pipelines, memory, exposure, and the errors and messages that they give."""
