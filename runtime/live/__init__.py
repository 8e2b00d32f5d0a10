"""The live loop: magnification on demand, and the feed of what people watch."""
