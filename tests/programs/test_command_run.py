"""A command as a trial runs it."""

import json
import sys
import time
from dataclasses import replace

import pytest

from balltrain.errors import BalltrainError, UserCodeError
from balltrain.programs.command_run import CommandTrial, run_command


@pytest.fixture
def trial(tmp_path):
    folder = tmp_path / "code here"
    folder.mkdir()
    return CommandTrial(
        command="",
        figures=None,
        folder=folder,
        trial_dir=tmp_path / "trial_0003",
        objective="val_acc",
        config={"lr": 0.1, "name": "it's"},
        trial_id="trial_0003",
        seed=7,
        epochs=100,
        resumed=False,
        state_file=tmp_path / "command.json",
        cpus=2,
        kill_after_s=1.0,
    )


def rows_of(trial, command, *, script="", **changed):
    """Rows that a command reports; `script` is a Python file `train.py` beside it."""
    (trial.folder / "train.py").write_text(script)
    rows = []
    run_command(
        replace(trial, command=command.replace("python", sys.executable), **changed),
        lambda number, figures, seconds: rows.append((number, figures)),
    )
    return rows


def test_lines_with_names_and_numbers(trial):
    command = "for e in 1 2; do echo epoch $e val_acc: 0.$e lr={lr}; done"
    assert rows_of(trial, command) == [(1, {"val_acc": 0.1, "lr": 0.1}), (2, {"val_acc": 0.2, "lr": 0.1})]


def test_lines_of_json_from_python(trial):
    script = "import json\nfor e in range(2): print(json.dumps({'epoch': e, 'val_acc': e / 2}))"
    assert rows_of(trial, "python train.py", script=script) == [(1, {"val_acc": 0.0}), (2, {"val_acc": 0.5})]


def test_reports_come_before_what_is_printed(trial):
    script = "import balltrain\nfor e in range(2):\n    print('val_acc: 9')\n    balltrain.report(val_acc=e)"
    assert rows_of(trial, "python train.py", script=script) == [(1, {"val_acc": 0.0}), (2, {"val_acc": 1.0})]


def test_a_file_in_the_trials_folder_is_found(trial):
    command = (
        'mkdir -p "$BALLTRAIN_TRIAL_DIR/a/b"; printf "epoch,val_acc\\n0,0.5\\n1,0.75\\n" > {trial_dir}/a/b/log.csv'
    )
    assert rows_of(trial, command) == [(1, {"val_acc": 0.5}), (2, {"val_acc": 0.75})]


def test_a_file_in_the_commands_folder_is_named_and_what_it_had_before_is_not_read(trial):
    (trial.folder / "results.csv").write_text("val_acc\n9\n")
    assert rows_of(trial, "echo 0.25 >> results.csv", figures="results.csv") == [(1, {"val_acc": 0.25})]


def test_a_pattern_is_looked_for_in_the_output(trial):
    assert rows_of(trial, "echo 50 right", figures=r"(?P<val_acc>\d+) right") == [(1, {"val_acc": 50})]


def test_what_the_command_is_told(trial):
    told = '"$BALLTRAIN_TRIAL" "$BALLTRAIN_SEED" "$OMP_NUM_THREADS" "$BALLTRAIN_RESUME" {epochs} {seed}'
    command = f"""printf '%s|' {told} "$(basename "$PWD")" > {{trial_dir}}/told"""
    rows_of(trial, f"{command}; cp {{config_file}} {{trial_dir}}/config.json; echo val_acc: 1", fold=(1, 5))
    assert (trial.trial_dir / "told").read_text() == "trial_0003|7|2||100|7|code here|"
    assert json.loads((trial.trial_dir / "config.json").read_text()) == {"lr": 0.1, "name": "it's"}


def test_a_command_that_is_begun_again_and_goes_on_reports_the_next_epochs(trial):
    command = """first=0; [ "$BALLTRAIN_RESUME" = true ] && first=2
        for e in $first $((first + 1)); do echo epoch $e val_acc: $e; done"""
    assert [number for number, _ in rows_of(trial, command)] == [1, 2]
    assert [number for number, _ in rows_of(trial, command, resumed=True)] == [1, 2, 3, 4]


def test_an_epoch_that_was_trained_and_not_reported_is_an_empty_row_and_the_others_keep_their_numbers(trial):
    rows_of(trial, "echo epoch 1 val_acc: 0.1; echo epoch 2 val_acc: 0.2")
    rows = rows_of(trial, "echo epoch 4 val_acc: 0.4; echo epoch 6 val_acc: 0.6", resumed=True)
    assert rows[2:] == [(3, {}), (4, {"val_acc": 0.4}), (5, {"val_acc": 0.6})]


def test_reports_that_a_kill_came_upon_before_they_were_read_are_not_lost(trial):
    script = "import balltrain\nfor e in range(2): balltrain.report(epoch=e, val_acc=e)"
    rows_of(trial, "python train.py", script=script)
    with replace(trial).report_file.open("a") as file:
        file.write('{"epoch": 2, "val_acc": 2}\n{"epoch": 3, "val_')
    script = "import balltrain\nballtrain.report(epoch=3, val_acc=3)"
    rows = rows_of(trial, "python train.py", script=script, resumed=True)
    assert rows == [(number, {"val_acc": number - 1}) for number in (1, 2, 3, 4)]


def test_rows_that_were_kept_come_again_where_a_command_starts_anew_each_once(trial):
    command = "for e in 0 1 2; do echo epoch $e val_acc: 0.5; done"
    assert rows_of(trial, command) == rows_of(trial, command, resumed=True)
    assert [number for number, _ in rows_of(trial, "echo val_acc: 1", resumed=False)] == [1]


def test_what_report_raises_ends_the_command(trial):
    def report(number, figures, seconds):
        raise KeyboardInterrupt

    command = "trap 'echo ended > ended; exit' TERM; echo val_acc: 1; while :; do sleep 0.01; done"
    with pytest.raises(KeyboardInterrupt):
        run_command(replace(trial, command=command), report)
    assert (trial.folder / "ended").exists()


def test_epochs_that_a_command_still_ends_while_it_is_stopped_are_known_to_the_next_attempt(trial):
    def report(number, figures, seconds):
        raise KeyboardInterrupt

    command = "trap 'echo epoch 2 val_acc: 0.5; exit' TERM; echo epoch 1 val_acc: 0.25; while :; do sleep 0.01; done"
    with pytest.raises(KeyboardInterrupt):
        run_command(replace(trial, command=command), report)
    assert rows_of(trial, "echo epoch 3 val_acc: 0.75", resumed=True) == [
        (number, {"val_acc": number / 4}) for number in (1, 2, 3)
    ]


def test_what_a_command_says_is_kept_while_a_report_takes_its_time(trial):
    kept = []

    def report(number, figures, seconds):
        time.sleep(0.3)
        kept.append(len(json.loads(trial.state_file.read_text())["rows"]))

    run_command(replace(trial, command="for e in 1 2 3; do echo epoch $e val_acc: 1; sleep 0.02; done"), report)
    assert kept[0] == 3


def test_after_its_last_epoch_a_command_ends_by_itself(trial):
    command = "echo epoch 1 val_acc: 1; echo epoch 2 val_acc: 2; sleep 0.5; touch saved"
    assert len(rows_of(trial, command, epochs=2)) == 2
    assert (trial.folder / "saved").exists()


def test_a_command_that_fails_after_its_last_epoch_has_failed(trial):
    with pytest.raises(UserCodeError, match="disk full"):
        rows_of(trial, "echo epoch 1 val_acc: 1; sleep 0.5; echo disk full; exit 1", epochs=1)


def test_all_output_is_handed_on(trial):
    output = []
    run_command(
        replace(trial, command="echo one; echo val_acc: 1 >&2; printf three"), lambda *row: None, output.append
    )
    assert b"".join(output) == b"one\nval_acc: 1\nthree"


def test_a_failure_says_the_exit_code_and_the_last_lines(trial):
    with pytest.raises(UserCodeError, match=r"exit code 3: no data \| no luck"):
        rows_of(trial, "echo no data; echo no luck; exit 3")
    script = "print('hello')\ndef f(): raise ValueError('lr is too high')\nf()"
    with pytest.raises(UserCodeError, match=r"exit code 1: ValueError: lr is too high$") as raised:
        rows_of(trial, "python train.py", script=script)
    assert raised.value.kinds == ("ValueError",)
    with pytest.raises(BalltrainError, match=r"exit code 127, it was not found: .*nothing-of-this-name"):
        rows_of(trial, "nothing-of-this-name")


def test_a_command_without_figures_says_what_was_looked_for_and_the_last_lines(trial):
    with pytest.raises(BalltrainError, match=r"no figures; looked for .*lines of JSON.*its last lines: done$"):
        rows_of(trial, "echo done")
    with pytest.raises(BalltrainError, match=r"never reported the objective val_acc: did you mean val_ac\?"):
        rows_of(trial, "echo val_ac: 1")
    with pytest.raises(BalltrainError, match=r"no figures; looked for results.csv; it printed nothing"):
        rows_of(trial, "true", figures="results.csv")


def test_trials_that_write_the_same_file_at_once_are_told_apart_by_an_error(trial):
    (trial.folder / "results.csv").write_text("val_acc\n")
    other = replace(
        trial, command="echo 2 >> results.csv", figures="results.csv", trial_dir=trial.folder.parent / "other"
    )

    def report(number, figures, seconds):
        with pytest.raises(BalltrainError, match=r"have the command write to \{trial_dir\}"):
            run_command(other, lambda *row: None)

    run_command(replace(other, trial_dir=trial.trial_dir), report)
