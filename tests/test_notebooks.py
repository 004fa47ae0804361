"""The documentation's notebooks: they run, and what is committed of them is small and clean."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
MOST_BYTES = 500_000
MACHINE = re.compile(r"(?<![\w.])/(home|root|Users|work|tmp|usr|opt)/|site-packages")


def code_of(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_notebooks_were_found():
    names = {path.stem for path in NOTEBOOKS}
    assert names == {"attention", "finetune", "first_steps", "steering", "sweep"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_was_run_in_order_without_errors(path):
    cells = code_of(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds <= {"display_data", "execute_result", "stream"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert path.stat().st_size < MOST_BYTES
    data = re.compile(r'base64,[^\'"]*|"image/png": "[^"]*"')  # in which anything may stand
    assert not MACHINE.search(data.sub("", json.dumps(outputs)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_opens_with_what_colab_needs(path):
    assert "google.colab" in "".join(code_of(path)[0]["source"])


@pytest.mark.thorough  # a minute or two each
@pytest.mark.filterwarnings("default")  # the kernel's are not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, timeout=900, resources=resources).execute()
