"""A run: from a job to one merged state, in one process or on Ray, every shard counted exactly once."""
