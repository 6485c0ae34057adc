"""What the networks heed, pixel by pixel: Sobol indices, integrated gradients, accumulated local effects."""
