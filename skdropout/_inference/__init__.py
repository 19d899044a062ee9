"""What answers a prediction: draws, rounds of draws, or moments in closed form."""
