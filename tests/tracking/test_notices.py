"""Notices of a sweep: to a real HTTP server on this machine, and to commands."""

import http.server
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy import TOY_FILE

from balltrain.errors import BalltrainError, UsageError
from balltrain.records.journal import Journal
from balltrain.tracking import notices as module
from balltrain.tracking.hooks import hidden, hook_of
from balltrain.tracking.mirrors import Tracking

SECRET = "T0KEN"


class Server(http.server.ThreadingHTTPServer):
    """Keeps what it is sent. What it answers: `codes`, one after the other, then 200; or nothing, while it hangs."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got, self.codes, self.hangs = [], [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook/{SECRET}"
        self.answers = threading.Event()
        self.answers.set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body.decode()))
        self.server.answers.wait(30)
        self.send_response(self.server.codes.pop(0) if self.server.codes else 200)
        self.end_headers()
        self.wfile.write(f"Cannot POST {self.path}".encode())  # as some servers repeat it

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    found = Server()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.answers.set()
    found.shutdown()
    found.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 20.0)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)


@pytest.fixture
def sweep(tmp_path, make_toy_plan, simulate):
    """Runs a simulated sweep whose journal is on disk, and tells of it; `interrupted` or raising at its end."""

    def run(*hooks, raises=None, interrupted=False, during=lambda: None, objective=None, more=None, **options):
        notices = Tracking(notify=hooks, **(more or {})).notices()
        with notices.about(tmp_path / "s", "s", "balltrain sweep --resume") as tell:
            journal = Journal(tmp_path / "s")
            sim = simulate(make_toy_plan(trials=2, epochs=2, scheduler="none", **options))
            sim.clock = time.time
            sim.controller._clock = time.time
            for line in sim.lines:
                journal.append({**line, "time": time.time()})
            sim.append = journal.append
            sim.controller._journal = journal
            sim.run(objective=objective)
            journal.close()
            during()
            if raises is not None:
                raise raises
            tell(interrupted)

    return run


def bodies(server):
    return [json.loads(body) for _, _, body in server.got]


def test_the_end_is_told_as_slack_discord_and_ntfy_take_it(server, sweep, capsys):
    sweep(server.url)
    (path, headers, _), (told,) = server.got[0], bodies(server)
    assert path == f"/hook/{SECRET}"
    assert told["text"] == told["content"]
    assert told["text"].startswith("s has ended. 2 trials (2 completed), 4 epochs; the best val_loss is ")
    assert (told["title"], told["event"], told["name"]) == ("s has ended", "end", "s")
    assert told["sweep"]["best_trial"] in ("00000", "00001")
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Message"] == "{{.text}}"  # which ntfy fills in
    assert capsys.readouterr().err == ""


def test_several_are_told_and_a_failure_says_how_to_go_on(server, sweep, tmp_path):
    file = tmp_path / "told"
    with pytest.raises(BalltrainError):
        sweep(server.url, f"cat > {file}; echo $BALLTRAIN_EVENT >> {file}", raises=BalltrainError("the disk is full"))
    (told,) = bodies(server)
    assert told["text"].startswith("s has failed: the disk is full. 2 trials")
    assert told["text"].endswith("To go on: balltrain sweep --resume")
    body, event = file.read_text().rsplit("}", 1)
    assert json.loads(body + "}") == told
    assert event.strip() == "failed"


@pytest.mark.parametrize("raises", [None, KeyboardInterrupt()])
def test_an_interruption_says_how_to_go_on(server, sweep, raises):
    try:
        sweep(server.url, interrupted=True, raises=raises)
    except KeyboardInterrupt:
        assert raises is not None
    (told,) = bodies(server)
    assert told["event"] == "interrupted"
    assert told["sweep"]["to_go_on"] == "balltrain sweep --resume"


def test_a_target_is_told_once_and_not_again_on_resume(server, sweep):
    sweep(
        server.url,
        until=0.5,
        during=lambda: time.sleep(0.3),
        objective=lambda attempt, epoch: 0.9 - 0.5 * (epoch - 1),
    )
    assert [told["event"] for told in bodies(server)] == ["target", "end"]
    assert bodies(server)[0]["text"].startswith("s has reached its target: val_loss 0.4 in epoch 2 of trial 0000")


def test_no_progress_is_told_once_and_again_after_some(server, tmp_path, monkeypatch):
    now = [1000.0]
    clock = SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0], sleep=time.sleep)
    notices = Tracking(notify=server.url, notify_stalled="30m").notices()
    monkeypatch.setattr(module, "time", clock)
    watch = module._Watch(notices, tmp_path, "s")
    journal = Journal(tmp_path)
    header = {"type": "sweep", "version": 6, "sweep": {"name": "s", "mode": "min"}, "time": 1000.0}
    row = {"type": "report", "number": 0, "row": {"epoch": 1, "objective": 0.5}}
    for seconds, line in ((10, header), (1799, None), (2, None), (900, None), (5, row), (900, None), (1000, None)):
        now[0] += seconds
        if seconds == 900:
            notices.waiting("nothing reported for 30 min: trial 00000 is in epoch 1 since 12:00:00")
        if line is not None:
            journal.append({**line, "time": now[0]})
        watch.look()
    journal.close()
    monkeypatch.undo()
    monkeypatch.setattr(module, "WAIT_S", 20.0)
    notices.finish()
    texts = sorted(told["text"] for told in bodies(server))
    stalled = "s does not progress: no epoch has ended for 3"
    assert texts == [f"{stalled}0 min", f"{stalled}2 min; trial 00000 is in epoch 1 since 12:00:00"]


def test_a_template_makes_what_another_server_takes(server, sweep):
    sweep(server.url, more={"notify_template": '{"msg": "{title}: \\"{text}\\"", "level": 3}'})
    told = bodies(server)[0]
    assert told["msg"].startswith('s has ended: "s has ended. 2 trials')
    assert "X-Template" not in server.got[0][1]
    sweep_again = Tracking(notify=server.url, notify_template="{name}: {event}").notices()
    sweep_again.tell(module.Event.END, "s", {"text": "."})
    sweep_again.finish()
    assert server.got[1][1]["Content-Type"] == "text/plain; charset=utf-8"
    assert server.got[1][2] == "s: end"


def test_one_that_refuses_is_one_line_without_its_secret(server, sweep, capsys):
    server.codes = [404]
    sweep(server.url)
    err = capsys.readouterr().err
    host = server.url.partition("/hook")[0]
    assert err.startswith(f"--notify {host}/… could not be told: HTTP 404 Not Found")
    assert err.count("\n") == 1
    assert SECRET not in err
    assert len(server.got) == 1  # it would refuse again


def test_one_that_is_down_for_a_moment_is_asked_again(server, sweep, capsys):
    server.codes = [503]
    sweep(server.url)
    assert len(server.got) == 2
    assert capsys.readouterr().err == ""


def test_one_that_is_not_there_is_told_while_the_sweep_runs(sweep, capsys, monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    sweep("http://127.0.0.1:9/x", during=lambda: time.sleep(1.0))
    assert (
        capsys.readouterr().err == "--notify http://127.0.0.1:9/… could not be told: [Errno 111] Connection refused\n"
    )


def test_one_that_hangs_costs_the_sweep_a_moment_at_its_end_and_is_told_all_the_same(server, sweep, monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0.3)
    server.answers.clear()
    start = time.monotonic()
    sweep(server.url, "sleep 30")
    assert time.monotonic() - start < 3
    deadline = time.monotonic() + 20
    while not server.got:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_that_fails_says_how(sweep, capsys):
    sweep("echo no such user >&2; exit 4")
    assert "--notify echo no such user >&2; exit 4 could not be told: it ended with exit code 4: no such user" in (
        capsys.readouterr().err
    )


def test_what_fails_before_ones_eyes_is_not_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    notices = Tracking(notify=server.url).notices()
    with pytest.raises(BalltrainError), notices.about(tmp_path / "s", "s", "again"):
        raise BalltrainError("there is no such source")
    assert server.got == []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)  # of a batch system nobody looks
    with pytest.raises(BalltrainError), notices.about(tmp_path / "s", "s", "again"):
        raise BalltrainError("there is no such source")
    assert bodies(server)[0]["text"].startswith("s has failed: there is no such source.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be the URL of a webhook, or a command"),
        ("https://", "a webhook is a URL such as"),
        ("ftp://host/x", "a webhook is a URL such as"),
        ("https://host:99999/x", "a webhook is a URL such as"),
        ("$NOT_THERE", r"there is no such variable: export NOT_THERE="),
        ("https://hooks.slack.com/…", "is not the whole URL"),
    ],
)
def test_what_is_no_hook_is_refused(text, says):
    with pytest.raises(UsageError, match=says):
        hook_of(text)


def test_what_is_typed_and_what_is_shown():
    variables = {"SLACK": "https://hooks.slack.com/services/T/B/X", "TOPIC": "secret", "MAIL": "mail ada"}
    for text, target, shown, is_url in (
        ("https://u:pw@host/a?b=c", "https://u:pw@host/a?b=c", "https://host/…", True),
        ("$SLACK", variables["SLACK"], "$SLACK", True),
        ("${MAIL}", "mail ada", "${MAIL}", False),
        ("https://ntfy.sh/$TOPIC", "https://ntfy.sh/secret", "https://ntfy.sh/…", True),
        ("curl -d @- https://x.io/key", "curl -d @- https://x.io/key", "curl -d @- https://x.io/…", False),
        ('mail "$USER"', 'mail "$USER"', 'mail "$USER"', False),
    ):
        hook = hook_of(text, variables)
        assert (hook.target, hook.shown, hook.is_url) == (target, shown, is_url)
        assert target == shown or target not in repr(hook)
    assert hidden("http://host:80") == "http://host:80"


def test_options_that_need_a_hook_say_so():
    for options in ({"notify_template": "{text}"}, {"notify_stalled": "30m"}):
        with pytest.raises(UsageError, match=r"--notify-\w+ needs --notify: whom to tell"):
            Tracking(**options).notices()
    with pytest.raises(UsageError, match=r"--notify-stalled is 'soon', but must be a duration such as 45s"):
        Tracking(notify="true", notify_stalled="soon").notices()
    with pytest.raises(UsageError, match=r"--notify-template has \{who\}, which there is not"):
        Tracking(notify="true", notify_template="{who}").notices()


@pytest.mark.skipif(sys.platform != "linux", reason="arguments of a process are in /proc")
def test_the_list_of_processes_has_no_more_than_the_host():
    code = "import sys; from balltrain.cli.secrets import hide_secrets; hide_secrets(sys.argv[1:]); print(sys.argv)"
    code += "; print(open('/proc/self/cmdline').read().split(chr(0)))"
    typed = ["--notify", f"https://host/{SECRET}", f"--notify=https://u:{SECRET}@host/x", "--trials", "3"]
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=True)
    assert SECRET not in done.stdout
    assert "'--notify=https://host/…', '--trials', '3']" in done.stdout
    assert done.stdout.splitlines()[1].startswith(f"['{sys.executable}', '-c', ")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="arguments of a process are in /proc")
def test_a_training_keeps_a_webhooks_url_in_no_file_and_not_in_the_list_of_processes(server, tmp_path):
    seen = tmp_path / "arguments"
    command = [sys.executable, "-m", "balltrain.cli", "train", TOY_FILE, "--epochs=1", "--wandb=off"]
    command += ["--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    command += ["--notify", server.url, f"--notify={server.url}", "--notify", f"ps -ww -e -o args > {seen}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert len(server.got) == 2
    assert bodies(server)[0]["text"].startswith(
        "run has ended. 1 trial (1 completed), 1 epoch; the best val_loss is "
    )
    assert SECRET not in seen.read_text()
    assert "--notify http://127.0.0.1" in seen.read_text()
    assert SECRET not in done.stdout + done.stderr
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert SECRET.encode() not in Path(file).read_bytes(), file


def test_how_to_go_on_hides_the_url_and_keeps_a_variable():
    from balltrain.cli.invocation import Invocation

    typed = [
        "sweep",
        "x",
        "--notify",
        f"https://host/{SECRET}",
        f"--notify=https://host/{SECRET}",
        "--notify",
        "$SLACK",
    ]
    text = Invocation(typed).to_go_on("--name", "n")
    assert text == (
        "balltrain sweep x --notify 'https://host/…' '--notify=https://host/…' --notify '$SLACK' --name n --resume"
    )
