"""W&B's offline runs, read back from their files."""

import json


def read_wandb_run(path):
    """An offline run, read back from its file: LevelDB's log format around W&B's own messages."""
    from wandb.proto import wandb_internal_pb2

    run = {"history": [], "config": {}, "finished": False, "steps": {}, "artifacts": {}, "summary": {}}
    for data in leveldb_records(path.read_bytes()[7:]):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run |= {"id": record.run.run_id, "group": record.run.run_group, "job_type": record.run.job_type}
            run["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            items = record.history.item
            run["history"].append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
        elif kind == "summary":
            found = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.summary.update}
            run["summary"] |= found
            run |= {key: value for key, value in found.items() if key == "status"}
        elif kind == "metric" and record.metric.glob_name:
            run["steps"][record.metric.glob_name] = record.metric.step_metric
        elif kind == "request" and record.request.HasField("log_artifact"):
            artifact = record.request.log_artifact.artifact
            run["artifacts"][artifact.name] = [entry.path for entry in artifact.manifest.contents]
        elif kind == "artifact":
            run["artifacts"][record.artifact.name] = [entry.path for entry in record.artifact.manifest.contents]
        elif kind == "exit":
            run["finished"] = True
    return run


def leveldb_records(log, block_size=32768, header=7):
    """Records of a LevelDB log: chunks of checksum (4), length (2), type (1: whole, 2-4: first, middle, last)."""
    position, record = header, b""  # W&B's own header counts to the first block
    log = bytes(header) + log
    while position + header <= len(log):
        if block_size - position % block_size < header:
            position += block_size - position % block_size
            continue
        length, kind = int.from_bytes(log[position + 4 : position + 6], "little"), log[position + 6]
        record += log[position + header : position + header + length]
        position += header + length
        if kind in (1, 4):
            yield record
            record = b""
