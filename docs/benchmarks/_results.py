"""Scores that are kept between runs of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
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


class Fits:
    """Finished fits, one JSON object a line: files of several runs are joined by `cat`.

    Parameters
    ----------
    path : Path or None
        Read if it is there. What is added goes to its end.
    names : sequence of str
        The entries that say which fit it is.
    """

    def __init__(self, path: Path | None, names: Sequence[str]) -> None:
        self.path, self.names = path, names
        text = path.read_text() if path and path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        self.found = {self.key(line): line for line in lines}

    def key(self, line: dict[str, Any]) -> str:
        return json.dumps([line[name] for name in self.names])

    def __contains__(self, line: dict[str, Any]) -> bool:
        return self.key(line) in self.found

    def __getitem__(self, line: dict[str, Any]) -> dict[str, Any]:
        return self.found[self.key(line)]

    def add(self, line: dict[str, Any]) -> None:
        self.found[self.key(line)] = line
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")


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
