"""Networks: the real-time family, the baseline, and their weights."""
