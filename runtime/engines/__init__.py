"""Runners of a step graph, one file a runner, and the bundle they read."""
