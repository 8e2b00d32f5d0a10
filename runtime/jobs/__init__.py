"""Jobs over a recorded clip: magnify, measure, demonstrate."""
