"""Comparison of FP32, FP16 and INT8 bundles: report, pictures, verdict."""
