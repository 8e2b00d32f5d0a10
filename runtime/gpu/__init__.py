"""The GPU: a protocol, and PyCUDA, CUDA graphs and EGL behind it."""
