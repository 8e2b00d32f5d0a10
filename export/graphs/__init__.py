"""Step graphs in ONNX: pairwise and band mode, FP32, FP16 and INT8."""
