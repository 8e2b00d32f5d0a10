"""Calibration sets, INT8 scales, quantised bundles and their comparison with FP32."""
