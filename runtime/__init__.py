"""The lean runtime: cameras, buffers, engines, magnification, vibration, outputs. Never imports torch or onnx."""
