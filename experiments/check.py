"""Every number that is told of the records, computed again from their data; fails where they differ.

    python -m experiments.check

The `claims.py` of a record has `claims()`, which yields a document and a sentence of it with the numbers as the data
has them, and SETTINGS: phrases of its page whose numbers are no results. A decimal or a percentage of a record's page,
of the README or of docs/evidence.md that is in neither of them is an error too, unless it is in code, in the address of
a link or in the heading of a table.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "README.md": (
        "momentum other than 0:",
        "Apache-2.0",
        "lr_max 0.005",
        "(0.004)",
        "at 0.001,",
        "95 % interval",
        "0.95 that those callbacks",
    ),
    "docs/evidence.md": ("95 % interval", "momentum of 0.99", "against 0.95 held"),
}
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+|(?:\.\d+)? ?(?=%))")
UNCHECKED = re.compile(r"```.*?```|`[^`]+`|\]\([^)]*\)|<!--.*?-->")
HEADING = re.compile(r"^\|.*\|\n(?=\|[ :|-]+\|$)", re.MULTILINE)


def main() -> None:
    found = list(problems())
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


def problems() -> Iterator[str]:
    """What differs, one line each."""
    records = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/README.md"))
    evidence = (ROOT / "docs/evidence.md").read_text()
    settings = {name: list(phrases) for name, phrases in SETTINGS.items()}
    told: dict[str, list[str]] = {}
    for record in records:
        page = f"experiments/{record}/README.md"
        module = importlib.import_module(f"experiments.{record}.claims")
        settings[page] = list(module.SETTINGS)
        sentences = [(document, plain(sentence)) for document, sentence in module.claims()]
        for document, sentence in sentences:
            told.setdefault(document, []).append(sentence)
        numbers = any(NUMBER.search(UNCHECKED.sub("", sentence)) for _, sentence in sentences)
        if (numbers or module.SETTINGS) and f"](../{page})" not in evidence:
            yield f"docs/evidence.md: no row for {page}"
    for document in sorted({*settings, *told}):
        text = plain((ROOT / document).read_text())
        for sentence in told.get(document, []):
            if sentence not in text:
                yield f"{document}: {what_stands_there(sentence, text)}, the data says: {sentence}"
        phrases = [*told.get(document, []), *map(plain, settings.get(document, []))]
        for phrase in map(plain, settings.get(document, [])):
            if phrase not in text:
                yield f"{document}: does not have the setting: {phrase}"
        if document in settings:
            yield from (f"{document}: nothing computes: {place}" for place in uncovered(text, phrases))


def plain(text: str) -> str:
    """With single spaces for whitespace, and without the headings of tables."""
    return " ".join(HEADING.sub("", text).split())


def what_stands_there(sentence: str, text: str) -> str:
    """The place of a text that differs from a sentence in its numbers alone."""
    words = re.split(r"\d[\d,.]*\d|\d", sentence)
    found = re.search(r"(?:\d[\d,.]*\d|\d)".join(map(re.escape, words)), text)
    return found[0] if found else "no such sentence"


def uncovered(text: str, phrases: list[str]) -> Iterator[str]:
    """The numbers of a text that are in no phrase, each with what is around it."""
    spans = [found.span() for found in UNCHECKED.finditer(text)]
    spans += [found.span() for phrase in phrases for found in re.finditer(re.escape(phrase), text)]
    for number in NUMBER.finditer(text):
        if not any(start <= number.start() and number.end() <= end for start, end in spans):
            yield text[max(0, number.start() - 30) : number.end() + 30]


if __name__ == "__main__":
    main()
