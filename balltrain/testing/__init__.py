"""What tests and benchmarks of searches share: problems whose learning curves are known without training."""
