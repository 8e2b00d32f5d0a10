"""ONNX Runtime on the CPU: engines, profiler, and as much of ONNX's file format as the runtime needs."""
