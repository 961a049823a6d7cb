"""The example notebook runs from its first cell to its last, in a real kernel."""

import os
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook as executed in an empty folder, and the folder."""
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("quickstart")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def shown(notebook, text):
    """The data that the cell which holds `text` has shown, by kind, the last first."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
    return [output.data for output in reversed(cell.outputs) if "data" in output]


def test_its_outputs_are_cleared():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_it_shows_results_report_and_predictions(executed):
    notebook, folder = executed
    table, panel, *_ = shown(notebook, 'balltrain.sweep("detect_heatmap"')
    assert table["text/html"].count("<tr") == 1 + 4
    assert "4/4 trials" in panel["text/plain"]
    assert "<iframe" in shown(notebook, "results.report()")[0]["text/html"]
    assert "test, 30 items" in shown(notebook, 'split="test"')[0]["text/plain"]
    assert shown(notebook, "model.predict")[0]["text/html"].count("<img") == 3
    assert (folder / "predictions" / "predictions.json").is_file()


def test_the_task_of_its_cell_is_swept(executed):
    notebook, _ = executed
    assert "8 trials" in shown(notebook, "balltrain.sweep(Moons")[0]["text/html"]
    assert "Evaluation(moons, val, 100 items" in shown(notebook, "moons.model().evaluate()")[0]["text/plain"]


def test_nothing_complains(executed):
    notebook, _ = executed
    for cell in notebook.cells:
        streams = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        training = "balltrain.train" in cell.source  # which prints a line an epoch
        assert training or streams == [], cell.source
