"""Monitoring: baselines, alarms and the tracking of modes over months."""
