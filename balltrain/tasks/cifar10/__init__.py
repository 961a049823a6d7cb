"""What is in a picture of 32x32 pixels: CIFAR-10."""
