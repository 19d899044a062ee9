"""The estimators, and what they hold."""
