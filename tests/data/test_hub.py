"""A hub's repository arrives whole and checked, or one sentence says what is wrong and nothing is left behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deqbench import provenance
from deqbench.data import autoencoders
from tests.command_line import Ran
from tests.data.stored_networks import WEIGHTS, autoencoder, same_weights, words
from tests.hub import COMMIT, Hub

# One process serves all cases, for the client's import takes seconds.

BAD = ("500", "garbage", "half", "wrong byte", "cut")


@pytest.fixture(scope="module")
def hub(saved, tmp_path_factory):
    """A hub with one repository a fault, and good ones of several forms."""
    folder = tmp_path_factory.mktemp("hub")
    served = Hub()
    for name in ("good", "pinned", *BAD, "pickles"):
        served.repositories[f"lab/{name.replace(' ', '-')}"] = shutil.copytree(saved, folder / name)
        served.faults[f"lab/{name.replace(' ', '-')}"] = name
    (folder / "good" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    place = folder / "pipeline" / "vae"
    place.mkdir(parents=True)
    autoencoder().save_pretrained(place)
    shutil.copytree(saved, folder / "pipeline" / "unet")
    served.repositories["lab/pipeline"] = folder / "pipeline"
    (folder / "pickles" / WEIGHTS).rename(folder / "pickles" / "diffusion_pytorch_model.bin")
    yield served
    served.close()


def client(hub: Hub, home: Path) -> dict[str, str]:
    """The environment of a process that knows that hub only."""
    mine = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    inherited = {
        key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and key != "HF_TOKEN"
    }
    return inherited | mine | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(scope="module")
def fetched(hub, saved, tmp_path_factory) -> tuple[dict[str, Ran], Path]:
    """What the command said for every repository, and the folder with what it left."""
    folder = tmp_path_factory.mktemp("fetched")
    cases = {
        name: words(folder, folder / name / "digits", **{"source": "hub", "name": f"lab/{name}", **more})
        for name, more in {
            "good": {},
            "pinned": {"sha256": {WEIGHTS: "f" * 64}},
            **{name.replace(" ", "-"): {} for name in BAD},
            "pickles": {},
            "none": {},
        }.items()
    }
    vae = {"form": "autoencoder", "source": "hub", "name": "lab/pipeline", "subfolder": "vae"}
    job = json.dumps({"network": "vae", "checkpoint": vae})
    cases["autoencoder"] = ["run", "inputs.network", "--settings", job, "--output", f"folder={folder}/autoencoder/vae"]
    cases["revision"] = words(folder, folder / "revision" / "digits", source="hub", name="lab/good", revision="v1")
    (folder / "cases.json").write_text(json.dumps(cases))
    command = [sys.executable, "-m", "tests.hub", str(folder / "cases.json"), str(folder / "ran.json")]
    done = subprocess.run(command, env=client(hub, folder / "home"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {name: Ran(**ran) for name, ran in json.loads((folder / "ran.json").read_text()).items()}, folder


def test_a_good_repository_is_downloaded_whole_and_its_checksums_are_kept(fetched, saved):
    ran, folder = fetched
    assert ran["good"].code == 0, ran["good"].err
    out = folder / "good" / "digits"
    kept = json.loads((out / "checkpoint.json").read_text())
    assert kept["sha256"] == {WEIGHTS: provenance.sha256(saved / WEIGHTS)}
    assert same_weights(out, saved)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["checkpoint.json", "config.json", "scheduler_config.json", WEIGHTS]
    )


def test_a_revision_is_asked_for_and_the_files_are_those_of_its_commit(fetched, hub):
    assert fetched[0]["revision"].code == 0, fetched[0]["revision"].err
    assert "GET api/models/lab/good/revision/v1" in hub.requests
    resolved = [request.split("/resolve/")[1].split("/")[0] for request in hub.requests if "/resolve/" in request]
    assert resolved and set(resolved) == {COMMIT}


def test_an_autoencoder_is_downloaded_from_its_subfolder_without_the_pipeline_s_other_networks(fetched, hub):
    ran, folder = fetched
    assert ran["autoencoder"].code == 0, ran["autoencoder"].err
    found = folder / "autoencoder" / "vae"
    net, stored = autoencoders.load(found), autoencoder()
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), stored.parameters(), strict=True))
    assert sorted(path.name for path in found.rglob("*.*")) == ["checkpoint.json", "config.json", WEIGHTS]
    asked = [request.split("/resolve/")[1] for request in hub.requests if "lab/pipeline/resolve/" in request]
    assert asked and all("/vae/" in path for path in asked)


def test_no_pickle_is_ever_asked_for(fetched, hub):
    assert any(request.endswith(WEIGHTS) for request in hub.requests)
    assert not any(request.endswith(".bin") for request in hub.requests)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("none", "lab/none: expected a repository of http://127.0.0.1:", "found: 404"),
        ("500", "lab/500: expected a repository of http://127.0.0.1:", "found: "),
        ("cut", "lab/cut: expected a repository of http://127.0.0.1:", "started over, four times"),
        ("garbage", f"lab/garbage/{WEIGHTS}: expected checksum ", "; found "),
        ("half", f"lab/half/{WEIGHTS}: expected checksum ", "; found "),
        ("wrong-byte", f"lab/wrong-byte/{WEIGHTS}: expected checksum ", "; found "),
        ("pinned", f"lab/pinned/{WEIGHTS}: expected sha256 {'f' * 64}; found ", ""),
        ("pickles", "lab/pickles: expected weights in safetensors; found none", ""),
    ],
)
def test_a_bad_repository_is_refused_in_one_sentence_with_nothing_left_behind(fetched, name, start, end):
    ran, folder = fetched
    assert ran[name].sentence.startswith(start) and end in ran[name].sentence
    assert os.listdir(folder / name) == []


def test_a_hub_that_cannot_be_reached_is_one_line_on_stderr_and_no_more(tmp_path):
    gone = Hub()
    gone.close()
    asked = words(tmp_path, tmp_path / "out" / "digits", source="hub", name="lab/good")
    command = [sys.executable, "-m", "deqbench.cli", *asked]
    done = subprocess.run(command, env=client(gone, tmp_path / "home"), capture_output=True, text=True, timeout=120)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.sentence.startswith(f"lab/good: expected a repository of {gone.url}; found: ")
    assert ran.err.count("\n") == 1 and ran.out == ""
