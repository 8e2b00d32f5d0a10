"""Weights to ONNX step graphs to bundles, each checked against PyTorch."""
