"""What exists: the chain of assets every network gets, their partitions, checks and jobs."""
