"""Stacks of networks, noisy and plain."""
