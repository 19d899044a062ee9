"""Predictive distributions, and numbers that follow from them, without networks."""
