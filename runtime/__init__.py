"""The lean runtime: cameras, buffers, engines, magnification, vibration, outputs. Never imports torch or onnx."""

import os

# ONNX Runtime's own wheels report their use to its maker over the internet unless this is set before they are
# imported. A device in the field must not connect to anything by itself.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
