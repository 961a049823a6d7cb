"""Small archives in the layout of CIFAR-10, whose classes differ in colour."""

import io
import pickle
import tarfile
import zipfile

import numpy as np

FOLDER = "cifar-10-batches-py"
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
COLORS = np.random.default_rng(0).permutation(
    np.stack(np.meshgrid([20, 230], [20, 230], [20, 125, 230]), -1).reshape(-1, 3)
)
# what a model needs to know of its data
FACTS = {"mean": [0.5] * 3, "std": [0.25] * 3, "whitening": np.eye(12).tolist()}


def batch_of(rows, seed=0):
    """A batch: noisy pictures in the colour of their class. The rows' labels go round all classes."""
    labels = np.arange(rows) % 10
    noise = np.random.default_rng(seed).integers(-20, 20, (rows, 3, 32 * 32))
    data = np.clip(COLORS[labels][:, :, None] + noise, 0, 255).astype(np.uint8)
    return {b"data": data.reshape(rows, 3072), b"labels": labels.tolist(), b"batch_label": b"a batch"}


def contents(rows=20, test_rows=20, dump=lambda batch: pickle.dumps(batch, 2)):
    """Name to content of the files of an archive."""
    files = {f"data_batch_{number}": dump(batch_of(rows, number)) for number in range(1, 6)}
    files["test_batch"] = dump(batch_of(test_rows, 6))
    files["batches.meta"] = pickle.dumps({"label_names": list(NAMES), "num_cases_per_batch": rows}, 2)
    return files


def write_archive(path, files=None):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (contents() if files is None else files).items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path, files=None, folder=f"{FOLDER}/"):
    """As Kaggle and file managers pack it anew."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (contents() if files is None else files).items():
            archive.writestr(f"{folder}{name}", content)
    return path


def write_folder(path, files=None):
    path.mkdir(parents=True)
    for name, content in (contents() if files is None else files).items():
        (path / name).write_bytes(content)
    return path


def python2_pickle(batch):
    """What Python 2 and its numpy make of a batch: the format of the official files."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"J" + int(value).to_bytes(4, "little", signed=True)

    data = batch[b"data"]
    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNN"
        + number(-1) * 2
        + b"K\x00tb"
    )
    raw = b"T" + data.nbytes.to_bytes(4, "little") + data.tobytes()
    shape = number(data.shape[0]) + number(data.shape[1]) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"
    labels = b"](" + b"".join(map(number, batch[b"labels"])) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + b"u."
