"""The same run by other hands than this process: several processes of our own, or shards elsewhere."""
