"""The zoo's recipes are right, or one sentence says which key is wrong."""

from pathlib import Path

import pytest
import yaml

from deqbench.config.reading import recipes
from deqbench.errors import UserError

ROOT = Path(__file__).parents[2] / "config"


def test_a_recipe_with_a_wrong_key_or_kind_is_refused_without_the_words_of_the_library(tmp_path):
    known = yaml.safe_load((ROOT / "zoo.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "zoo.yaml"
    for change, sentence in (
        ({"stps": 3}, "digits.stps: expected one of batch, bf16, data_licence, "),
        (
            {"kind": "diffusoin"},
            "digits.kind: expected one of diffusion, classifier, autoencoder, latent, one-step, density, "
            "score-network; found 'diffusoin'",
        ),
        ({"steps": 0}, "digits.steps: expected a number greater than or equal to 1; found 0"),
    ):
        path.write_text(yaml.safe_dump({"digits": known["digits"] | change}), encoding="utf-8")
        with pytest.raises(UserError) as caught:
            recipes(path)
        assert str(caught.value).startswith(f"{path}: {sentence}")


def test_the_recipes_of_the_zoo_are_valid():
    assert {"digits", "tissue", "digits-features", "tissue-features"} <= recipes(ROOT / "zoo.yaml").keys()
