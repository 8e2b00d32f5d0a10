"""The ONNX parsers of TensorRT, as tables and rules: which of them reads a graph."""
