"""Scores that are kept between runs of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Results:
    """Scores of fits, kept in a file: a run that was stopped goes on where it was.

    Parameters
    ----------
    path : Path or None
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.scores = json.loads(path.read_text()) if path and path.exists() else {}

    def get(self, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in self.scores:
            self.scores[key] = compute()
            print(key, {k: v for k, v in self.scores[key].items() if k != "scores"}, flush=True)
            if self.path:
                self.path.write_text(json.dumps(self.scores))
        return self.scores[key]
