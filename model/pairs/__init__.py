"""Training pairs: drawn and photographed layers that move by known sub-pixel amounts."""
