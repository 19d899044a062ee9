"""The training of stacks."""
