"""Quantisation: from an FP32 bundle and scales to an INT8 bundle, and which layers it costs."""
