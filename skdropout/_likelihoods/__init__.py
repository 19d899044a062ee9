"""From raw outputs to a distribution of the target."""
