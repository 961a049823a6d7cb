"""What runs a search on Ray: the runner, trials and their processes, placement, the cluster."""
