"""What `benchmarks.prediction` compares: our own map, the bare networks, and what a user would write without us."""
