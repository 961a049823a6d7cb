"""What tasks on pictures share: reading them, augmenting batches of them, and classifying them."""
