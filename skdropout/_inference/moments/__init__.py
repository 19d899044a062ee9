"""Mean and covariance of the raw outputs over all draws, in closed form."""
