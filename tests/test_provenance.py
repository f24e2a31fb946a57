"""Results go stale when the code behind them changes, not when other code does; a sidecar says where they are from."""

import ast
import json
import shutil
import subprocess
import sys

import pytest

from deqbench import provenance
from deqbench.config.strict import Strict

SAMPLING = "deqbench.experiments.deq_ddim.scores.measure"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package's code and data, to be edited and put back."""
    target = tmp_path_factory.mktemp("copy") / "deqbench"
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    return shutil.copytree(provenance.PACKAGE, target, ignore=ignored)


def digest_after(package, file: str, module: str = SAMPLING) -> str:
    """The digest when one more line ends that file."""
    path = package / file
    before = path.read_bytes() if path.exists() else None
    try:
        path.write_bytes((before or b"") + b"\n")
        provenance.code_digest.cache_clear()
        return provenance.code_digest(module, package)
    finally:
        path.unlink() if before is None else path.write_bytes(before)
        provenance.code_digest.cache_clear()


@pytest.mark.parametrize(
    "file",
    [
        "experiments/deq_ddim/scores/measure.py",
        "experiments/deq_ddim/chains.py",  # imported directly
        "diffusion/chain.py",  # through another module
        "diffusion/samplers/joint.py",  # found by listing its folder
        "diffusion/samplers/windowed.py",
        "solvers/anderson.py",  # found by listing its folder, in a module found so
        "solvers/triangular.py",
        "metrics/frechet.py",
        "diffusion/__init__.py",  # run whenever something below it is imported
        "diffusion/samplers/a_new_one.py",
        "solvers/a_new_one.py",
    ],
)
def test_the_digest_of_sampling_changes_with_every_file_behind_it(package, file):
    assert digest_after(package, file) != provenance.code_digest(SAMPLING, package)


@pytest.mark.parametrize(
    "file",
    [
        "report/site.py",
        "commands/report.py",
        "training/zoo/making.py",
        "experiments/deq_ddim/latents/measure.py",
        "papers/deq-ddim/claims.yaml",
        "papers/deq-ddim/methods.yaml",  # whose numbers a job is told
        "cli.py",
    ],
)
def test_the_digest_of_sampling_keeps_when_unrelated_code_changes(package, file):
    assert (package / file).exists()
    assert digest_after(package, file) == provenance.code_digest(SAMPLING, package)


def test_the_digest_follows_imports_inside_functions(package):
    text = (package / "commands/report.py").read_text(encoding="utf-8")
    imported_at_the_top = [n.module for n in ast.parse(text).body if isinstance(n, ast.ImportFrom)]
    assert "deqbench.report.site" in text and "deqbench.report.site" not in imported_at_the_top
    before = provenance.code_digest("deqbench.commands.report", package)
    assert digest_after(package, "report/site.py", "deqbench.commands.report") != before


def test_what_takes_shipped_weights_goes_stale_with_their_cards(package):
    module = "deqbench.experiments.inputs.measure"
    assert digest_after(package, "zoo/digits-features/card.json", module) != provenance.code_digest(module, package)


def test_the_digest_does_not_depend_on_where_the_package_lies(package):
    assert provenance.code_digest(SAMPLING, package) == provenance.code_digest(SAMPLING)


def test_the_digest_sees_every_module_of_ours_that_the_command_really_imports():
    code = f"import sys, {SAMPLING}; print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('deqbench')))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert len(imported) > 10
    assert set(imported) <= {str(path) for path in provenance.code_files(SAMPLING)}


class Settings(Strict):
    seed: int


def recorded(tmp_path, settings, **extra):
    out = tmp_path / "scores.csv"
    with provenance.recorded([out], "run deq_ddim.scores.score", SAMPLING, Settings(**settings)) as facts:
        facts.update(extra)
    return json.loads(provenance.sidecar(out).read_text(encoding="utf-8"))


def test_a_sidecar_says_how_where_when_and_at_what_cost_a_result_was_made(tmp_path):
    facts = recorded(tmp_path, {"seed": 3}, images=40)
    assert provenance.sidecar(tmp_path / "scores.csv").name == "scores.csv.provenance.json"
    assert (
        facts["command"] == "deqbench run deq_ddim.scores.score"
        and facts["settings"] == {"seed": 3}
        and facts["images"] == 40
    )
    assert facts["code_digest"] == provenance.code_digest(SAMPLING)
    assert facts["threads"] >= 1 and facts["wall_s"] >= 0 and facts["peak_rss_bytes"] > 10_000_000
    assert facts["packages"].keys() == set(provenance.NAMED) and all(facts["packages"].values())
    assert {"version", "commit", "settings_digest", "started", "device", "python", "platform"} <= facts.keys()


def test_the_settings_digest_changes_with_the_settings_alone(tmp_path):
    one, same, other = (recorded(tmp_path, {"seed": seed})["settings_digest"] for seed in (1, 1, 2))
    assert one == same != other


def test_a_job_that_fails_leaves_no_sidecar(tmp_path):
    with pytest.raises(RuntimeError), provenance.recorded([tmp_path / "x.csv"], "run", SAMPLING, Settings(seed=1)):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert provenance.sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_the_package_hands_to_users_belongs_to_no_stage():
    behind = {
        path.relative_to(provenance.PACKAGE).as_posix()
        for path in provenance.code_files("deqbench.experiments.inputs.job")
    }
    assert {"__init__.py", "experiments/inputs/job.py", "config/strict.py"} <= behind
    assert not any(name.startswith("diffusion/") for name in behind)
