"""Make what cluster/config.yaml expects of an AWS account: a bucket, a security group, and what nodes may do.

    python cluster/prepare_aws.py BUCKET --ssh-from 203.0.113.7/32 [--region us-east-1]     # can be repeated
    python cluster/prepare_aws.py BUCKET --remove                                            # all but the bucket

Run with your own credentials, which stay here: nodes get theirs from their instance profile. The default VPC is used.
"""

import argparse
import contextlib
import ipaddress
import json
import time

import boto3
from botocore.exceptions import ClientError

ROLES = ("balltrain-head", "balltrain-worker")
GROUP = "balltrain"
THERE_ALREADY = (
    "EntityAlreadyExists",
    "BucketAlreadyOwnedByYou",
    "LimitExceeded",
)  # the last: a profile has its role
TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def statements(role: str, bucket: str, account: str) -> list[dict]:
    """What nodes of a role may do: all read and write the bucket; the head starts and ends instances too."""
    bucket_arn = f"arn:aws:s3:::{bucket}"
    allowed = [
        {"Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": bucket_arn},
        {
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": f"{bucket_arn}/*",
        },
    ]
    if role == "balltrain-head":
        passed = f"arn:aws:iam::{account}:role/balltrain-worker"
        allowed += [
            {"Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:CreateTags"], "Resource": "*"},
            {
                "Action": ["ec2:TerminateInstances", "ec2:StopInstances", "ec2:StartInstances"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:ResourceTag/ray-cluster-name": "balltrain"}},
            },
            {"Action": "ssm:GetParameters", "Resource": "arn:aws:ssm:*::parameter/aws/service/deeplearning/*"},
            {"Action": "iam:PassRole", "Resource": passed},
            {"Action": "iam:GetInstanceProfile", "Resource": "*"},
        ]
    return [{"Effect": "Allow", **statement} for statement in allowed]


@contextlib.contextmanager
def expected(*codes: str):
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def prepare(bucket: str, region: str) -> None:
    s3, iam = boto3.client("s3", region_name=region), boto3.client("iam")
    account = boto3.client("sts", region_name=region).get_caller_identity()["Account"]
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with expected(*THERE_ALREADY):
        s3.create_bucket(Bucket=bucket, **where)
    nobody = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(nobody, True))
    for role in ROLES:
        with expected(*THERE_ALREADY):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy([TRUST]))
        iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=policy(statements(role, bucket, account)))
        with expected(*THERE_ALREADY):
            iam.create_instance_profile(InstanceProfileName=role)
            iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
            time.sleep(10)  # AWS needs a moment before instances may use it


def prepare_group(ssh_from: str, region: str) -> str:
    """The security group's id; ssh is let in from one range alone, and its nodes reach one another."""
    ec2 = boto3.client("ec2", region_name=region)
    group_id = find_group(ec2)
    if group_id is None:
        what = {"GroupName": GROUP, "Description": "balltrain: ssh from one range, nodes among themselves"}
        group_id = ec2.create_security_group(**what)["GroupId"]
    (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    if group["IpPermissions"]:  # of another address before
        ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=group["IpPermissions"])
    ssh = {"FromPort": 22, "ToPort": 22, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": ssh_from}]}
    inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[ssh, inside])
    return group_id


def find_group(ec2) -> str | None:
    found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [GROUP]}])["SecurityGroups"]
    return found[0]["GroupId"] if found else None


def remove(region: str) -> None:
    ec2, iam = boto3.client("ec2", region_name=region), boto3.client("iam")
    if (group_id := find_group(ec2)) is not None:
        ec2.delete_security_group(GroupId=group_id)
    for role in ROLES:
        with expected("NoSuchEntity"):
            iam.remove_role_from_instance_profile(InstanceProfileName=role, RoleName=role)
        with expected("NoSuchEntity"):
            iam.delete_instance_profile(InstanceProfileName=role)
        with expected("NoSuchEntity"):
            iam.delete_role_policy(RoleName=role, PolicyName=role)
        with expected("NoSuchEntity"):
            iam.delete_role(RoleName=role)


def policy(allowed: list[dict]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bucket")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--ssh-from", help="where you connect from: curl https://checkip.amazonaws.com, with /32 after it"
    )
    what.add_argument("--remove", action="store_true")
    parser.add_argument("--region", default="us-east-1")
    options = parser.parse_args()
    if options.remove:
        remove(options.region)
        print(f"removed what was made for {GROUP}; the bucket stays: aws s3 rb --force s3://{options.bucket}")
        return
    try:
        ipaddress.ip_network(options.ssh_from)
    except ValueError as error:
        parser.error(f"--ssh-from {options.ssh_from!r}: {error}")
    prepare(options.bucket, options.region)
    group_id = prepare_group(options.ssh_from, options.region)
    print(f"sed -i 's|sg-SET-ME|{group_id}|; s|s3://SET-ME|s3://{options.bucket}|' cluster/config.yaml")


if __name__ == "__main__":
    main()
