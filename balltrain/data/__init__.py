"""Arrays on disk that all trials on a node share, splits, and batches on the device."""
