"""A csv file that grows by whole rows, so that what was computed is never computed again."""

from __future__ import annotations

import csv
from pathlib import Path


class Table:
    """The rows of a csv file with these columns, as texts; made where it is not there."""

    def __init__(self, path: Path, columns: tuple[str, ...]):
        self.path, self.columns = path, columns
        if not path.is_file():
            self._append(columns)
        with open(path, newline="") as file:
            self.rows = list(csv.DictReader(file))

    def find(self, **key: object) -> list[dict[str, str]]:
        """The rows that say so."""
        wanted = {name: str(value) for name, value in key.items()}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def add(self, **row: object) -> dict[str, str]:
        """Append a row, to the file at once."""
        said = {name: str(row[name]) for name in self.columns}
        self._append(tuple(said.values()))
        self.rows.append(said)
        return said

    def _append(self, cells: tuple[str, ...]) -> None:
        with open(self.path, "a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([cells])
