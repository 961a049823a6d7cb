"""Figures in files as programs of others write them, while they write them."""

import json

from balltrain.programs.figure_files import FigureFile


def reading(path, **more):
    return FigureFile(lambda: path if path.exists() else None, **more)


def test_lightnings_rows_are_sparse_and_its_file_is_written_anew_with_more_columns(tmp_path):
    path = tmp_path / "metrics.csv"
    file = reading(path)
    assert file.read() == []
    path.write_text("epoch,step,train_loss\n0,7,1.5\n")
    assert file.read() == [{"epoch": 0, "step": 7, "train_loss": 1.5}]
    path.write_text("epoch,step,train_loss,val_loss\n0,7,1.5,\n0,7,,0.5\n")
    assert file.read() == [{"epoch": 0, "step": 7, "val_loss": 0.5}]


def test_ultralytics_pads_its_header_and_cells(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("     epoch,   metrics/mAP50(B)\n         1,            0.25000\n")
    assert reading(path).read() == [{"epoch": 1, "metrics/mAP50(B)": 0.25}]


def test_hugging_faces_state_is_one_document_a_checkpoint(tmp_path):
    history = [{"loss": 2.0, "epoch": 1.0}, {"eval_loss": 1.0, "epoch": 1.0}]
    paths = [tmp_path / f"checkpoint-{step}" / "trainer_state.json" for step in (1, 2)]
    file = FigureFile(lambda: next((path for path in reversed(paths) if path.exists()), None))
    for number, path in enumerate(paths, 1):
        path.parent.mkdir()
        path.write_text(json.dumps({"log_history": history[:number], "best_metric": None}))
        assert file.read() == [history[number - 1]]
    paths[1].write_text('{"log_history": [')
    assert file.read() == []


def test_half_a_line_is_waited_for_and_taken_at_the_end(tmp_path):
    path = tmp_path / "log.jsonl"
    file = reading(path)
    path.write_text('{"loss": 1}\n{"lo')
    assert file.read() == [{"loss": 1}]
    path.write_text('{"loss": 1}\n{"loss": 2}')
    assert file.read() == []
    assert file.read(ended=True) == [{"loss": 2}]
    assert file.read(ended=True) == []


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("acc\n0.1\n0.2\n")
    file = reading(path)
    assert len(file.read()) == 2
    path.write_text("acc\n0.5\n")
    assert file.read() == [{"acc": 0.5}]


def test_rows_of_an_earlier_run_are_skipped_and_those_appended_are_read(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("acc\n0.1\n0.2\n")
    file = reading(path, skip_present=True)
    with path.open("a") as end:
        end.write("0.3\nnan\n")
    assert [str(row) for row in file.read()] == ["{'acc': 0.3}", "{'acc': nan}"]


def test_an_earlier_run_that_is_written_over_with_the_same_rows_is_read(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("acc\n0.1\n0.2\n")
    file = reading(path, skip_present=True)
    path.write_text("acc\n0.1\n")
    assert file.read() == [{"acc": 0.1}]


def test_text_and_empty_cells_are_no_figures(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("time,phase,acc\n1,warm up,\n2,train,0.5\n")
    assert reading(path).read() == [{"time": 1}, {"time": 2, "acc": 0.5}]
