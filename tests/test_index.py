"""What methods take is known without torch, kept like bytecode, and made again once a file behind it has changed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deqbench import index, provenance
from deqbench.commands.config import check
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from tests.diffusion.chains import make, relative

CONFIG = Path(__file__).parents[1] / "config" / "smoke.yaml"
MINE = '''"""A sampler from outside the package."""

from dataclasses import replace
from typing import Annotated

from annotated_types import Interval

from deqbench.diffusion.samplers import sequential

CANNOT = {"eta > 0": "it is told of no noise"}


def sample(chain, *, share: Annotated[float, Interval(gt=0, le=1)] = 1.0):
    """share of the chain's own result."""
    for reached in sequential.sample(chain):
        yield replace(reached, x0=share * reached.x0)
'''


def made(package: Path, cards: dict) -> dict:
    """What another Python says of a package of these files."""
    files = {path.relative_to(package).as_posix(): index._digest(path) for path in package.rglob("*.py")}
    return {"cards": cards, "files": files, "globs": ["**/__init__.py", "solvers/*.py"]}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one family in place of ours, and how often its cards were made."""
    root, asked = tmp_path / "made", []
    (root / "solvers").mkdir(parents=True)
    for name in ("__init__.py", "bounds.py", "solvers/__init__.py", "solvers/one.py"):
        (root / name).write_text("", encoding="utf-8")
    monkeypatch.setattr(index, "PACKAGE", root)
    monkeypatch.setattr(index, "_cache", lambda: tmp_path / "kept" / "methods.json")
    monkeypatch.setattr(index, "_made", lambda *words: asked.append(words) or made(root, {"solvers": len(asked)}))
    return root, asked


def families() -> dict:
    """As a process that has not asked yet."""
    return index._families.__wrapped__()


def test_cards_are_made_once_and_kept(package):
    assert families() == families() == {"solvers": 1}
    assert package[1] == [("families",)]


@pytest.mark.parametrize("name", ["solvers/one.py", "bounds.py", "solvers/two.py", "diffusion/__init__.py"])
def test_cards_are_made_again_once_a_file_behind_them_has_changed_or_joined(package, name):
    root, _ = package
    families()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("X = 1\n", encoding="utf-8")
    assert families() == {"solvers": 2}
    (root / name).unlink()
    assert families() == {"solvers": 3}
    assert families() == {"solvers": 3}


def test_what_is_kept_and_no_json_is_made_again(package):
    families()
    index._cache().write_text("{", encoding="utf-8")
    assert families() == {"solvers": 2}
    assert json.loads(index._cache().read_text(encoding="utf-8"))["families"]["cards"] == {"solvers": 2}


def test_where_nothing_can_be_written_cards_are_made_each_time(package, monkeypatch):
    def refused(path, text):
        raise PermissionError(path)

    monkeypatch.setattr(index, "write_text", refused)
    assert (families(), families()) == ({"solvers": 1}, {"solvers": 2})


def test_a_check_of_a_config_loads_no_torch_once_the_cards_are_kept():
    index.names("solvers")
    code = "import sys; from deqbench import scale; scale.load(sys.argv[1]); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, CONFIG], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pandas", "scipy", "diffusers"} & set(ran.stdout.split())


def test_a_module_that_cannot_be_imported_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_cache", lambda: tmp_path / "methods.json")
    with pytest.raises(UserError, match=r"sampler: expected package\.module:function of .* found .* \(No module named"):
        index.card("diffusion/samplers", "no_such_module:sample")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A config whose methods and tables name a sampler from outside, as a function of its eta and options."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(index, "_cache", lambda: tmp_path / "methods.json")

    def write(eta: float = 0.0, **options) -> Path:
        values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        paper = values["papers"]["deq-ddim"]
        paper["methods"]["mine"] = {"sampler": "mine:sample", "eta": eta, "options": options}
        paper["table-1"]["methods"].append("mine")
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return tmp_path / "mine.yaml"

    yield write
    index._outside.cache_clear()
    sys.modules.pop("mine", None)


def test_a_sampler_from_outside_is_checked_as_ours_are_and_runs(mine, tmp_path, capsys):
    check(mine(share=0.5))
    assert capsys.readouterr().out.endswith(" experiments\n")
    key = "papers.deq-ddim.methods.mine"
    with pytest.raises(UserError) as caught:
        check(mine(share=2.0))
    words = "share: expected a number in (0, 1]; found 2.0"
    assert str(caught.value).endswith(f"mine.yaml: {key}.options.{words}")
    with pytest.raises(
        UserError, match=rf"{key}.eta: expected no eta > 0, since it is told of no noise; found it asked"
    ):
        check(mine(eta=0.5))
    chain, *_ = make(5)
    with pytest.raises(UserError) as caught:
        sample("mine:sample", chain, {"share": 2.0})
    assert str(caught.value) == f"sampler mine:sample: {words}"
    told = []
    found = sample("mine:sample", chain, {"share": 0.5}, on_round=lambda reached: told.append(reached.number))
    assert relative(found.x0, 0.5 * list(chain.walk())[-1]) < 1e-12
    assert len(told) == 5
    (tmp_path / "mine.py").write_text(MINE.replace("le=1)", "le=4)"), encoding="utf-8")
    index._outside.cache_clear()  # as a later process
    check(mine(share=2.0))


def test_results_of_a_sampler_from_outside_go_stale_with_its_file(mine, tmp_path):
    settings = {"methods": [{"sampler": "mine:sample", "options": {"share": 0.5}}], "at": "12:30"}
    assert provenance.outside(settings) == ("mine",)
    command = "deqbench.commands.sampling"
    before = provenance.code_digest(command, outside=("mine",))
    assert before != provenance.code_digest(command)
    (tmp_path / "mine.py").write_text(MINE + "\n", encoding="utf-8")
    provenance.code_digest.cache_clear()
    assert before != provenance.code_digest(command, outside=("mine",))
