"""Searches over parameters whose candidates and folds are trained together, as stacks."""

from ._search import BatchedGridSearchCV, BatchedRandomizedSearchCV

__all__ = ["BatchedGridSearchCV", "BatchedRandomizedSearchCV"]
