"""TensorRT: plans, builds, engine files, and engines on the GPU."""
