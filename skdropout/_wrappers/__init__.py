"""What stands around a network: pipelines, searches, target transforms."""
