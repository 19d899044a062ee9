"""Searches over parameters whose candidates and folds are trained together, as stacks."""

from ._search import BatchedGridSearchCV, BatchedRandomizedSearchCV
from ._space import search_space

__all__ = ["BatchedGridSearchCV", "BatchedRandomizedSearchCV", "search_space"]
