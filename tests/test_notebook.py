"""The notebook in docs/: it runs from top to bottom, and shows what is stored with it.

`python tests/test_notebook.py` carries it out and stores what it shows.
"""

from __future__ import annotations

import base64
import io
import json
import re
import tempfile
from pathlib import Path

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
PATIENCE = 300
SMALL = 200_000
# The last lines of the cells that show a picture.
PICTURES = ("cycle.plot()", "test", "plt.show()")
# What TensorFlow's C++ code says, with the time of day, as it is imported.
CHATTER = r"$|[IWE]0000 |\d{4}-\d\d-\d\d .*: [IWE] |WARNING: All log messages before absl|To enable the following"

pytestmark = pytest.mark.skipif(not NOTEBOOK.is_file(), reason="no checkout")


def executed(folder):
    """The notebook as a kernel of this Python carries it out in a folder; an exception where a cell fails."""
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kernel = ExecutePreprocessor(timeout=PATIENCE, kernel_name="python3", record_timing=False)
    kernel.preprocess(notebook, {"metadata": {"path": str(folder)}})
    notebook.metadata.language_info = {"name": "python"}  # without its version
    for cell in code_cells(notebook):
        cell.outputs = [output for output in cell.outputs if not is_chatter(output)]
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def is_chatter(output):
    return output.get("name") == "stderr" and all(re.match(CHATTER, line) for line in output["text"].splitlines())


def kinds(notebook):
    """For every cell of code, what its outputs are: the names of streams, of values whether they are pictures."""
    return [
        [output.get("name") or ("picture" if "image/png" in output["data"] else "value") for output in cell["outputs"]]
        for cell in code_cells(notebook)
    ]


@pytest.mark.slow
def test_it_runs_and_shows_what_is_stored(tmp_path):
    for module in ("nbconvert", "ipykernel"):
        pytest.importorskip(module, reason=f"no {module}: pip install 'sconv[slow]'")
    assert kinds(executed(tmp_path)) == kinds(json.loads(NOTEBOOK.read_text()))


def test_what_is_stored_is_small_and_shows_each_picture_once():
    assert NOTEBOOK.stat().st_size < SMALL
    notebook = json.loads(NOTEBOOK.read_text())
    for cell, shown in zip(code_cells(notebook), kinds(notebook), strict=True):
        last = cell["source"][-1]
        expected = ["picture"] if last in PICTURES else ["stdout"] if last.strip().startswith("print") else []
        assert shown == expected, last
        assert "execution" not in cell["metadata"]


def in_few_colours(picture):
    """A PNG picture in base64 at a third of its size."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        file = io.BytesIO()
        image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def store():
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(folder)
    for values in (output.data for cell in code_cells(notebook) for output in cell.outputs if "data" in output):
        if "image/png" in values:
            values["image/png"] = in_few_colours(values["image/png"])
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    store()
