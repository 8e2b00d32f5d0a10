"""Persistent store of the service: series, summaries, peaks, modes, alarms and events in one SQLite file."""
