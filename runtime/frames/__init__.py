"""Frames in memory: their data, the rings they live in, rates, stage times, copies and views."""
