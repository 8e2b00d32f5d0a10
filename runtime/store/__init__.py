"""What the service remembers: series, summaries, peaks, modes, alarms, events, in one SQLite file."""
