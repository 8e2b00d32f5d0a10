"""INT8 scales: ranges of a network's tensors and the step sizes made of them."""
