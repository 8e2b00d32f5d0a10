"""Judging a magnifier on the same inputs as another."""
