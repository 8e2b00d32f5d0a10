"""Networks, training pairs, training, evaluation and weights (PyTorch). Knows no other package."""
