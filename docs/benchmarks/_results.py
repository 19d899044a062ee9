"""Scores that are kept between runs of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed


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


class Lines:
    """Results that are kept as JSON lines, each with the key of what it is a result of.

    Parameters
    ----------
    path : Path or None
        The file, which need not exist. None keeps them in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.found = path, {}
        if path and path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.found[tuple(record.pop("key"))] = record

    def complete(
        self, keys: Iterable[tuple], compute: Callable[..., dict[str, Any]], jobs: int
    ) -> None:
        """Compute what is missing, ``compute(*key)``, in so many processes."""
        missing = [key for key in keys if key not in self.found]
        parallel = Parallel(jobs, return_as="generator_unordered")
        for key, record in parallel(delayed(_keyed)(compute, key) for key in missing):
            self.found[key] = record
            print(*key, record, flush=True)
            if self.path:
                with self.path.open("a") as file:
                    file.write(json.dumps({"key": key, **record}) + "\n")


def _keyed(compute: Callable[..., dict[str, Any]], key: tuple) -> tuple[tuple, dict[str, Any]]:
    return key, compute(*key)
