"""Real-time, learning-based video motion magnification for structural monitoring on NVIDIA Jetson devices."""
