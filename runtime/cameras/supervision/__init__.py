"""Supervision of a camera that may fail: its reader thread, timeline, faults and restarts."""
