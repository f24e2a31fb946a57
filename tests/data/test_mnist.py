"""MNIST through torchvision, from a server on this machine's loopback."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from torchvision.datasets import MNIST

from deqbench.data import datasets
from deqbench.errors import UserError

COUNTS = {"train": 5003, "t10k": 4}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def idx(values: np.ndarray) -> bytes:
    """The format of the files: two zeros, a code for uint8, the shape in big-endian, the numbers."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    return gzip.compress(head + values.astype(np.uint8).tobytes(), 1, mtime=0)


def files() -> dict[str, bytes]:
    """Images whose every pixel is the image's number, the number divided by 10 its label."""
    numbers = {part: np.arange(n) % 256 for part, n in COUNTS.items()}
    images = {f"{part}-images-idx3-ubyte.gz": np.tile(n[:, None, None], (28, 28)) for part, n in numbers.items()}
    labels = {f"{part}-labels-idx1-ubyte.gz": n // 10 % 10 for part, n in numbers.items()}
    return {name: idx(values) for name, values in {**images, **labels}.items()}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder whose files are what the one known mirror offers, with the checksums of the true ones among them."""
    folder, contents = tmp_path / "served", files()
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    checksums = [(name, hashlib.md5(content).hexdigest()) for name, content in contents.items()]
    monkeypatch.setattr(MNIST, "resources", checksums)
    yield folder
    server.shutdown()
    server.server_close()


def test_mnist_is_downloaded_and_keeps_its_last_5000_training_images_for_tuning(tmp_path, served):
    root = tmp_path / "mnist"
    found = datasets.build("mnist", root=str(root))
    assert [len(getattr(found, split)) for split in datasets.SPLITS] == [3, 5000, 4] and found.shape == (1, 28, 28)
    assert ((found.test[:, 0, 5, 7] + 1) * 127.5).round().tolist() == [0, 1, 2, 3]
    assert ((found.tuning[:3, 0, 0, 0] + 1) * 127.5).round().tolist() == [3, 4, 5]
    assert found.tuning_labels[10].item() == 1 and not found.symmetric
    for file in served.iterdir():
        file.unlink()
    again = datasets.build("mnist", root=str(root))  # from the folder
    assert again.train.equal(found.train)


@pytest.mark.parametrize("fault", ["none is there", "another file"])
def test_mnist_that_cannot_be_had_is_one_sentence(tmp_path, served, fault):
    for file in served.iterdir():
        if fault == "none is there":
            file.unlink()
        else:
            file.write_bytes(b"<html>please log in</html>")
    with pytest.raises(UserError) as caught:
        datasets.build("mnist", root=str(tmp_path / "none"))
    words = str(caught.value)
    assert words.startswith(f"{tmp_path / 'none'}: expected MNIST or a connection to download it; found: ")
