"""`make test-cluster`: hosts of our own, a cluster brought up by ssh, and hosts cut off, killed and joined meanwhile.

A host is a set of namespaces: its own address, processes, /tmp, home and sshd. The laptop, from which all is done by
the `ray` commands, is one too, and the network between them is in a namespace of its own: nothing reaches the
machine that this runs on, and `ray stop` in a host sees the host's processes alone. Needs root, and Debian's
openssh-server, iproute2 and rsync.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from toy import TOY_FILE

from balltrain.records.journal import read_journal
from balltrain.records.state import SweepState

REPOSITORY = Path(__file__).parents[2]
TOOLS = ("sshd", "ssh", "ip", "rsync", "unshare", "nsenter")
TRIALS, EPOCHS = 12, 220
NETWORK = "10.77.0"

# run as the first process of a host, in its namespaces; $WORK is seen by all hosts
HOST = """
set -e
mount --make-rprivate /
mount --bind $REPOSITORY $WORK/repository
hostname $NAME
for folder in /tmp /run /dev/shm; do mount -t tmpfs -o mode=1777 none $folder; done
mkdir -p /run/sshd /tmp/home/.ray
sed 's|^root:\\(.*\\):[^:]*:\\([^:]*\\)$|root:\\1:/tmp/home:/bin/bash|' /etc/passwd > /run/passwd
mount --bind /run/passwd /etc/passwd
export HOME=/tmp/home
touch /run/ready-$NAME
[ $NAME = laptop ] && exec sleep 100000
exec $(command -v sshd || echo /usr/sbin/sshd) -D -e -f $WORK/sshd_config
"""


def sh(*command, check=True, **more):
    found = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert not check or found.returncode == 0, f"{command}: {found.stdout[-3000:]} {found.stderr[-3000:]}"
    return found.stdout


class Hosts:
    """A network of hosts, by name; ended with all that runs in them by `close`."""

    def __init__(self):
        self.work = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="balltrain-hosts-"))
        self.prefix = f"bt{os.getpid()}"
        self.processes, self.addresses = {}, {}
        (self.work / "repository").mkdir()
        (self.work / "runs").mkdir()
        for key in ("host_key", "balltrain"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.work / key))
        shutil.copy(self.work / "balltrain.pub", self.work / "authorized_keys")
        (self.work / "sshd_config").write_text(
            f"HostKey {self.work}/host_key\nAuthorizedKeysFile {self.work}/authorized_keys\nStrictModes no\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nPidFile none\nLogLevel ERROR\n"
        )
        sh("ip", "netns", "add", self.net())
        self.ip("link", "add", "bridge0", "type", "bridge")
        self.ip("link", "set", "bridge0", "up")

    def net(self, name="net"):
        return f"{self.prefix}-{name}"

    def ip(self, *arguments, of="net"):
        sh("ip", "-n", self.net(of), *arguments)

    def start(self, name):
        self.addresses[name] = f"{NETWORK}.{len(self.addresses) + 1}"
        net = self.net(name)
        sh("ip", "netns", "add", net)
        self.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", net)
        self.ip("link", "set", name, "master", "bridge0", "up")
        for arguments in (
            ("addr", "add", f"{self.addresses[name]}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
            (
                "route",
                "add",
                "default",
                "via",
                f"{NETWORK}.254",
            ),  # leads nowhere; Ray looks for its own address by it
        ):
            self.ip(*arguments, of=name)
        unshare = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        environment = {
            "NAME": name,
            "WORK": str(self.work),
            "REPOSITORY": str(REPOSITORY),
            "PATH": os.environ["PATH"],
        }
        with open(self.work / f"{name}.log", "w") as log:
            self.processes[name] = subprocess.Popen(
                ["ip", "netns", "exec", net, *unshare, "bash", "-c", HOST],
                env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 10
        while self.run(name, f"test -e /run/ready-{name}", check=False).returncode:
            assert time.monotonic() < deadline, (self.work / f"{name}.log").read_text()
            time.sleep(0.1)

    def command(self, name, script):
        """What runs a script in a host."""
        first = sh("pgrep", "-P", str(self.processes[name].pid), check=False).split()
        inside = first[0] if first else "0"
        return ["nsenter", "--target", inside, "--all", "env", "-i", "HOME=/tmp/home", "TERM=xterm",
                f"PATH={Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                f"PYTHONPATH={self.work}/repository", "RAY_UP_enable_autoscaler_v2=0", "bash", "-c",
                f"cd {self.work}/repository && {script}"]  # fmt: skip

    def run(self, name, script, check=True, timeout=240):
        found = subprocess.run(
            self.command(name, script), capture_output=True, text=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or found.returncode == 0, f"{script}: {found.stdout[-4000:]} {found.stderr[-2000:]}"
        return found

    def cut_off(self, name):
        self.ip("link", "set", name, "down")

    def kill(self, name):
        process = self.processes.pop(name, None)
        if process is not None:
            for child in sh("pgrep", "-P", str(process.pid), check=False).split():
                subprocess.run(["kill", "-9", child], check=False)
            process.kill()
            process.wait()

    def close(self):
        for name in list(self.processes):
            self.kill(name)
        for name in ("net", *self.addresses):
            sh("ip", "netns", "delete", self.net(name), check=False)
        shutil.rmtree(self.work, ignore_errors=True)


@pytest.fixture
def hosts():
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    if os.geteuid() != 0 or missing:
        pytest.fail(f"needs root, and {', '.join(missing) or 'nothing more'}: see `make test-cluster`")
    if subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        pytest.fail("namespaces are not permitted here: run this on a virtual machine, or in a privileged container")
    if Path(sys.executable).is_relative_to("/tmp"):
        pytest.fail("each host has a /tmp of its own: take the project and its environment out of /tmp")
    found = Hosts()
    try:
        yield found
    finally:
        found.close()


def cluster_file(hosts, workers):
    """cluster/ssh.yaml with its SET-MEs set, and the environment that is here in place of one installed."""
    config = yaml.safe_load((REPOSITORY / "cluster" / "ssh.yaml").read_text())
    config["provider"] |= {
        "head_ip": hosts.addresses["head"],
        "worker_ips": [hosts.addresses[name] for name in workers],
    }
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts.work / "balltrain")}
    del config["file_mounts"]["~/balltrain-dist"]
    setup = [command for command in config["setup_commands"] if "venv/bin/python" not in command]
    setup = [command.replace("BALLTRAIN_STORAGE=SET-ME", f"BALLTRAIN_STORAGE={hosts.work}/runs") for command in setup]
    here = f"PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={hosts.work}/repository"
    setup.append(f"echo 'export {here}' >> ~/balltrain.env")
    config["setup_commands"] = setup
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[key] = [command.replace("ray start", "ray start --num-cpus=1") for command in config[key]]
    text = yaml.safe_dump(config)
    assert "SET-ME" not in text
    (hosts.work / "ssh.yaml").write_text(text)
    return f"{hosts.work}/ssh.yaml"


def noting_toy(folder):
    """The toy task, with epochs of a tenth of a second, that notes on which host its data is built."""
    text = Path(TOY_FILE).read_text()
    text = text.replace('return {"y"', 'import time; time.sleep(0.1)\n        return {"y"')
    note = f"import socket; open('{folder}/built', 'a').write(socket.gethostname() + '\\n')"
    text = text.replace("size = request.size", f"{note}\n        size = request.size", 1)
    (folder / "noting_toy.py").write_text(text + '\nif __name__ == "__main__":\n    sweep.main(__file__)\n')
    return folder / "noting_toy.py"


JOB = """
import socket
import time
from pathlib import Path


def train(trial):
    for epoch in trial.epochs():
        time.sleep(0.2)
        with open("WORK/ran-function", "a") as file:
            file.write(f"{socket.gethostname()} {Path(__file__).parent}\\n")
        trial.report(loss=trial.config["lr"])
"""
COMMAND = """#!/bin/sh
. ./figures.sh
for epoch in $(seq $2); do
    sleep 0.2
    echo "$(hostname) $PWD" >> WORK/ran-command
    say $1
done
"""


def check_that_programs_travel(hosts):
    """Programs in a /tmp that is the head's own."""
    files = {
        "job.py": JOB,
        "train.sh": COMMAND,
        "figures.sh": 'say() { echo "loss: $1"; }\n',
        "space.toml": "lr = {log = [1e-3, 1.0]}\n",
    }
    (hosts.work / "job").mkdir()
    for name, text in files.items():
        (hosts.work / "job" / name).write_text(text.replace("WORK", str(hosts.work)))
    (hosts.work / "job" / "train.sh").chmod(0o755)
    hosts.run("head", f"mv {hosts.work}/job /tmp/job")
    options = f"--space space.toml --objective loss --address {hosts.addresses['head']}:6379 --wandb off --json"
    options += " --trials 6 --epochs 10 --scheduler none"
    for kind, what in {"function": "job.py:train", "command": "--command './train.sh {lr} {epochs}'"}.items():
        script = f". ~/balltrain.env; cd /tmp/job && balltrain sweep {what} {options} --name {kind}"
        assert '"completed": 6' in hosts.run("head", script).stdout
        ran = Counter(tuple(line.split()) for line in (hosts.work / f"ran-{kind}").read_text().splitlines())
        assert ran.total() == 60
        assert {host for host, _ in ran} == {"head", "first", "second"}
        if kind == "command":
            copies = {folder for host, folder in ran if host != "head"}
            assert all(folder.startswith("/tmp/home/.cache/balltrain/commands/") for folder in copies), copies


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)


@pytest.mark.hosts
@pytest.mark.timeout(600)
def test_a_sweep_survives_hosts_cut_off_killed_and_joined(hosts):
    for name in ("laptop", "head", "first", "second", "third"):
        hosts.start(name)
    laptop = hosts.run("laptop", "cluster/make_token.sh; stat -c %a ~/.ray/auth_token").stdout
    assert laptop.endswith("600\n")

    def step(text):
        print(f"{time.monotonic() - start:5.0f} s  {text}", flush=True)

    start = time.monotonic()
    config = cluster_file(hosts, ["first", "second"])
    hosts.run("laptop", f"ray up -y {config}")
    step("ray up")
    for name in ("first", "second"):
        wait_until(lambda name=name: hosts.run(name, "pgrep raylet", check=False).stdout, 90, "the workers start")
        assert hosts.run(name, "stat -c %a ~/.ray/auth_token").stdout == "600\n"
    step("both workers are there")
    listening = hosts.run("head", "ss -ltn | grep :8265").stdout
    assert "127.0.0.1:8265" in listening
    join = f"python -m balltrain.cli sweep tests/toy.py --address {hosts.addresses['head']}:6379"
    assert "wants its token, this machine has none" in hosts.run("head", f"HOME=/run {join}", check=False).stderr

    only_here = hosts.run(
        "laptop",
        f"ray submit {config} {noting_toy(hosts.work)} --storage /tmp/here --name no --wandb off",
        check=False,
    )
    reason = "cannot write to --storage /tmp/here ([Errno 2] No such file or directory"
    assert reason in only_here.stdout, only_here.stdout[-2000:] + only_here.stderr[-2000:]
    step("a storage that the head alone sees is refused")

    job = "balltrain sweep tests/toy.py --trials 2 --epochs 1 --name job --wandb off --json"
    submit_job = "ray job submit --address http://127.0.0.1:8265 --"
    job = f". ~/balltrain.env; {submit_job} bash -c 'cd {hosts.work}/repository && {job}'"
    assert '"completed": 2' in hosts.run("head", job).stdout
    step("a job is submitted through the dashboard, and done")

    check_that_programs_travel(hosts)
    step("a function and a command whose folder the head alone has train on all hosts")

    options = f"--trials {TRIALS} --epochs {EPOCHS} --scheduler none --name chaos --wandb off --json"
    with open(hosts.work / "submit.log", "w") as log:
        submit = subprocess.Popen(
            hosts.command("laptop", f"ray submit {config} {hosts.work}/noting_toy.py {options}"),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    journal = hosts.work / "runs" / "chaos" / "journal.jsonl"

    def reports():
        assert submit.poll() is None or submit.returncode == 0, (hosts.work / "submit.log").read_text()[-3000:]
        return journal.read_text().count('"report"') if journal.exists() else 0

    def report_nodes():
        lines = journal.read_text().splitlines()[-40:]
        return {row["row"]["node"] for row in map(json.loads, lines) if row["type"] == "report"}

    wait_until(lambda: reports() > 40, 120, "the sweep reports")
    step(f"the sweep reports, from {', '.join(sorted(report_nodes()))}")
    config = cluster_file(hosts, ["first", "second", "third"])  # for `ray down`
    ssh = f"ssh -i {hosts.work}/balltrain -o StrictHostKeyChecking=no root@{hosts.addresses['third']}"
    hosts.run("laptop", f"{ssh} 'umask 077; cat > .ray/auth_token' < ~/.ray/auth_token")
    here = f"PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={hosts.work}/repository RAY_AUTH_MODE=token"
    head = f"{hosts.addresses['head']}:6379"
    hosts.run("laptop", f"{ssh} 'export {here}; ray start --num-cpus=1 --address={head}'")
    wait_until(lambda: "third" in report_nodes(), 120, "the host that joined trains")
    step("a host has joined, and trains")
    hosts.cut_off("first")
    hosts.kill("second")
    step("a host is cut off, another killed")
    wait_until(lambda: '"cause":"node-lost"' in journal.read_text(), 120, "the lost host is noticed")
    step("the trial of the host that was cut off is noticed as lost")
    assert submit.wait(timeout=240) == 0, (hosts.work / "submit.log").read_text()[-3000:]
    step("the sweep has ended")

    state = SweepState.replay(read_journal(hosts.work / "runs" / "chaos"))
    trials = state.trials.values()
    assert {trial.status for trial in trials} == {"completed"}
    assert len(trials) == TRIALS
    assert all([row["epoch"] for row in trial.rows] == list(range(1, EPOCHS + 1)) for trial in trials)
    assert sum(trial.lost_attempts for trial in trials) >= 1
    assert sum(trial.attempts for trial in trials) >= TRIALS + 2
    assert Counter((hosts.work / "built").read_text().split()) == {"head": 1, "first": 1, "second": 1, "third": 1}
    table = pd.read_parquet(hosts.work / "runs" / "chaos" / "trials.parquet")
    assert list(table["status"]) == ["completed"] * TRIALS
    listed = hosts.run("laptop", f"python -m balltrain.cli results chaos --json --storage {hosts.work}/runs").stdout
    assert json.loads(listed)["trials"] == TRIALS

    hosts.run("laptop", f"ray down -y {config}")  # which stops the head alone, where the machines are one's own
    hosts.run("laptop", f"{ssh} 'export {here}; ray stop'")
    for name in ("head", "third"):
        wait_until(
            lambda name=name: not hosts.run(name, "pgrep -f '[r]aylet|[r]ay/'", check=False).stdout, 30, "down"
        )
    step("ray down; nothing is left")
