"""The cluster files, against what reads them: Ray's launcher, AWS as moto has it, Kubernetes, KubeRay."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "cluster"
LAUNCHER_FILES = ("config.yaml", "gcp.yaml", "ssh.yaml")


def load(name):
    return yaml.safe_load((FOLDER / name).read_text())


def commands_of(config, kind):
    return "\n".join(command for key, value in config.items() if key.endswith(kind) for command in value)


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_rays_launcher_takes_the_file(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(load(name))
    validate_config(config)
    assert config["head_start_ray_commands"] == load(name)["head_start_ray_commands"]  # not Ray's defaults


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_nodes_are_started_safely(name):
    config = load(name)
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "driver" in head
    assert "dashboard" not in worker
    setup = "\n".join(config["setup_commands"])
    assert "RAY_AUTH_MODE=token" in setup
    assert "chmod 600 ~/.ray/auth_token" in setup
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "constraints.txt" in setup


@pytest.mark.parametrize("name", [*LAUNCHER_FILES, "kuberay.yaml"])
def test_no_secret_is_in_a_file(name):
    text = (FOLDER / name).read_text()
    assert not re.search(r"[0-9a-f]{32}|AKIA[0-9A-Z]{12}|-----BEGIN|password", text)
    for key in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert not re.search(rf"{key}\s*[=:]\s*[\w/+]", text)


@pytest.fixture
def aws(monkeypatch):
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def prepare_aws(aws, monkeypatch):
    """The script's functions, against moto's account."""
    import runpy

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return runpy.run_path(str(FOLDER / "prepare_aws.py"))


def test_aws_lets_only_ssh_in_and_only_from_the_range_that_was_set(prepare_aws, monkeypatch, tmp_path):
    """The AWS file as `ray up` resolves it against an account. A group that Ray makes lets ssh in from everywhere."""
    import boto3
    from ray.autoscaler._private.aws import config as ray_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config

    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray puts its ssh key
    (tmp_path / ".ssh").mkdir()
    prepare_aws["prepare_group"]("198.51.100.0/24", "us-east-1")
    group_id = prepare_aws["prepare_group"]("203.0.113.7/32", "us-east-1")  # the address has changed
    text = (FOLDER / "config.yaml").read_text().replace("sg-SET-ME", group_id)
    config = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(yaml.safe_load(text)))
    config = ray_aws.bootstrap_aws(config)
    head = config["available_node_types"]["head"]["node_config"]
    worker = config["available_node_types"]["worker"]
    assert head["IamInstanceProfile"] == {"Name": "balltrain-head"}
    assert worker["node_config"]["IamInstanceProfile"] == {"Name": "balltrain-worker"}
    assert "InstanceMarketOptions" not in head
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert (worker["resources"]["GPU"], worker["resources"]["accelerator_type:A10G"]) == (1, 1)
    for node in (head, worker["node_config"]):
        assert node["SecurityGroupIds"] == [group_id]
    ec2 = boto3.client("ec2", region_name="us-east-1")
    (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    assert [(r.get("FromPort"), s["CidrIp"]) for r in group["IpPermissions"] for s in r["IpRanges"]] == [
        (22, "203.0.113.7/32")
    ]


def test_the_aws_account_is_prepared_and_cleaned_up(prepare_aws):
    import boto3

    for _ in range(2):  # the second time all is there
        prepare_aws["prepare"]("balls", "us-east-1")
        prepare_aws["prepare_group"]("203.0.113.7/32", "us-east-1")
    iam = boto3.client("iam")
    actions = {}
    for role in ("balltrain-head", "balltrain-worker"):
        profile = iam.get_instance_profile(InstanceProfileName=role)["InstanceProfile"]
        assert [entry["RoleName"] for entry in profile["Roles"]] == [role]
        document = iam.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
        actions[role] = json.dumps(document)
    assert "ec2:RunInstances" in actions["balltrain-head"]
    assert "ec2:" not in actions["balltrain-worker"]
    assert "s3:PutObject" in actions["balltrain-worker"]
    for _ in range(2):
        prepare_aws["remove"]("us-east-1")
    assert not iam.list_roles()["Roles"]


def test_an_ssh_range_must_be_given(aws):
    script = [sys.executable, str(FOLDER / "prepare_aws.py"), "balls"]
    for more, words in (([], "--ssh-from"), (["--ssh-from", "SET-ME"], "SET-ME")):
        found = subprocess.run([*script, *more], capture_output=True, text=True, check=False)
        assert found.returncode == 2
        assert words in found.stderr


def kuberay_documents():
    return {doc["kind"]: doc for doc in yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())}


def cluster_specs():
    documents = kuberay_documents()
    return {"RayCluster": documents["RayCluster"]["spec"], "RayJob": documents["RayJob"]["spec"]["rayClusterSpec"]}


# KubeRay's own types, as far as the file uses them: a schema of ours made after its API reference of version 1.6
# (https://docs.ray.io/en/master/cluster/kubernetes/references/api.html), because no package registry has its CRDs
GROUP = {"rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}}, "template": {}}
CLUSTER_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["headGroupSpec"],
    "properties": {
        "rayVersion": {"type": "string"},
        "authOptions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"mode": {"enum": ["disabled", "token"]}, "secretName": {"type": "string"}},
        },
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"idleTimeoutSeconds": {"type": "integer"}},
        },
        "headGroupSpec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["template"],
            "properties": {**GROUP, "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}},
        },
        "workerGroupSpecs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["groupName", "minReplicas", "maxReplicas", "template"],
                "properties": {
                    **GROUP,
                    "groupName": {"type": "string"},
                    "replicas": {"type": "integer"},
                    "minReplicas": {"type": "integer"},
                    "maxReplicas": {"type": "integer"},
                },
            },
        },
    },
}
JOB_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entrypoint", "rayClusterSpec"],
    "properties": {
        "entrypoint": {"type": "string"},
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": {"type": "integer"},
        "backoffLimit": {"type": "integer"},
        "rayClusterSpec": CLUSTER_SCHEMA,
    },
}


def test_kuberay_documents_have_the_fields_that_kuberay_has():
    import jsonschema

    documents = kuberay_documents()
    jsonschema.validate(documents["RayCluster"]["spec"], CLUSTER_SCHEMA)
    jsonschema.validate(documents["RayJob"]["spec"], JOB_SCHEMA)
    for kind, document in documents.items():
        assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", kind)
    wrong = copy.deepcopy(documents["RayCluster"]["spec"])
    wrong["workerGroupSpecs"][0]["maxReplica"] = 8
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(wrong, CLUSTER_SCHEMA)


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_kubernetes_takes_the_pods(kind):
    import kubernetes_validate

    spec = cluster_specs()[kind]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_rays_autoscaler_reads_the_kubernetes_cluster(kind):
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    cluster = {"metadata": {"name": "balltrain", "namespace": "default"}, "spec": cluster_specs()[kind]}
    config = _derive_autoscaling_config_from_ray_cr(cluster)
    head, worker = (config["available_node_types"][name] for name in ("headgroup", "gpu"))
    assert head["resources"]["CPU"] == 0
    assert head["resources"]["driver"] == 1000
    assert (worker["resources"]["GPU"], worker["max_workers"]) == (1, 8)
    (container,) = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    (nodes,) = [json.loads(entry["value"]) for entry in container["env"] if entry["name"] == "BALLTRAIN_NODES"]
    assert nodes == [{"max_workers": 8, "resources": {name: worker["resources"][name] for name in ("CPU", "GPU")}}]
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert cluster["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_versions_of_the_files_are_those_of_the_constraints():
    constraints = (FOLDER.parent / "constraints.txt").read_text()
    (ray_version,) = re.findall(r"^ray==(.+)$", constraints, re.MULTILINE)
    assert f"rayproject/ray:{ray_version}-" in (FOLDER / "Dockerfile").read_text()
    assert all(spec["rayVersion"] == ray_version for spec in cluster_specs().values())


def test_the_token_is_its_owners_alone(tmp_path):
    for _ in range(2):
        subprocess.run([FOLDER / "make_token.sh"], check=True, env={**os.environ, "HOME": str(tmp_path)})
    token = tmp_path / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch("[0-9a-f]{64}", token.read_text())
    assert sys.platform == "win32" or token.parent.stat().st_mode & 0o077 == 0
