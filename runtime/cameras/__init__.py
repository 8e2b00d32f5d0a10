"""Sources of frames, one file a source."""
