"""`deqbench.invert_decoder` for autoencoders, folders, tensors, frames and PIL images; and the example."""

import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image

import deqbench
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.frames import line_of
from deqbench.errors import UserError
from deqbench.measure.peaks import peak_bytes
from tests.decoder_inversion.tiny import small_vae

EXAMPLE = Path(__file__).parents[2] / "examples" / "decoder_inversion.py"


@pytest.fixture(scope="module")
def vae():
    return small_vae()


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4)) * 2 - 1


def test_one_call_finds_latents_and_tells_what_it_took(vae, images):
    inversion = deqbench.invert_decoder(vae, images, "forward", iterations=5, progress=False, options={"rho": 0.2})
    z = Codec(vae).encode(images).detach()
    for _ in range(5):
        z = z - 0.2 * (Codec(vae).encode_decode(z) - Codec(vae).encode(images)).detach()
    torch.testing.assert_close(inversion.latents, z, rtol=1e-4, atol=1e-5)
    assert isinstance(inversion, deqbench.DecoderInversionResult)
    assert inversion.residuals.shape == (6, 2)
    assert inversion.stop == ("max_iter", "max_iter")
    assert inversion.iterations.tolist() == [5, 5]


def test_folders_frames_and_pil_images_are_taken(vae, images, tmp_path):
    vae.save_pretrained(tmp_path / "vae")
    plain = deqbench.invert_decoder(vae, images, iterations=2, progress=False)
    folder = deqbench.invert_decoder(tmp_path / "vae", images, iterations=2, progress=False)
    frames = deqbench.invert_decoder(vae, images[None], iterations=2, progress=False, max_batch=1)
    torch.testing.assert_close(plain.latents, folder.latents)
    assert frames.latents.shape == (1, 2, 2, 8, 8)
    pixels = torch.randint(0, 256, (2, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pictures = [Image.fromarray(pixel.numpy()) for pixel in pixels]
    told = deqbench.invert_decoder(vae, pictures, "encoder", progress=False)
    torch.testing.assert_close(told.latents, Codec(vae).encode(pixels.permute(0, 3, 1, 2) / 127.5 - 1).detach())


@pytest.mark.parametrize("method", ["ours", "gradient"])
def test_a_budget_of_bytes_is_kept_and_changes_no_latent(vae, method):
    images = torch.rand(1, 8, 3, 16, 16, generator=torch.Generator().manual_seed(4)) * 2 - 1
    known = [*vae.parameters()]

    def peak_of(**options) -> tuple[int, torch.Tensor]:
        inversion = []
        arguments = {"iterations": 2, "progress": False, **options}
        bytes_ = peak_bytes(lambda: inversion.append(deqbench.invert_decoder(vae, images, method, **arguments)), known)
        return bytes_["peak"], inversion[0].latents

    one, whole = peak_of(max_batch=1)[0], peak_of()
    line = line_of(Codec(vae), images[0], gradient=method == "gradient")
    within, latents = peak_of(max_bytes=line.at(2))
    torch.testing.assert_close(latents, whole[1], rtol=1e-3, atol=1e-4)
    assert one <= within < whole[0]
    with pytest.raises(UserError, match="budget: expected at least"):
        peak_of(max_bytes=10)


@pytest.mark.parametrize("bits", [16, "bf16"])
def test_half_precision_keeps_float32_latents_no_worse_than_their_start(vae, images, bits):
    inversion = deqbench.invert_decoder(vae, images, "forward", bits, keep="best", iterations=4, progress=False)
    assert inversion.latents.dtype == torch.float32
    assert (inversion.residuals.amin(0) <= inversion.residuals[0]).all()


def test_budgets_and_tolerances_stop_it(vae, images):
    assert deqbench.invert_decoder(vae, images, max_seconds=0.0, progress=False).stop == ("max_seconds",) * 2
    done = deqbench.invert_decoder(vae, images, "forward", tol=10.0, progress=False)
    assert done.stop == ("converged",) * 2
    assert len(done.seconds) == 1


def test_progress_is_drawn_only_where_it_is_wanted(vae, images, capsys):
    deqbench.invert_decoder(vae, images, iterations=2, progress=False)
    assert capsys.readouterr().err == ""
    deqbench.invert_decoder(vae, images, iterations=2)
    assert "decoder inversion, ours" in capsys.readouterr().err


def test_bad_arguments_are_told_in_one_sentence(vae, images):
    for arguments, words in (
        ({"method": "foward"}, ".*did you mean 'forward'"), ({"bits": 8}, "bits: expected one of 32"),
        ({"images": images[:, :1]}, "images: expected floats"), ({"vae": 3}, "vae: expected an autoencoder"),
        ({"iterations": -1}, "iterations"), ({"options": {"rho": -1.0}, "method": "forward"}, "rho: expected"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            deqbench.invert_decoder(**{"vae": vae, "images": images, "progress": False, **arguments})


def test_the_example_shows_that_ours_is_nearest(capsys):
    runpy.run_path(str(EXAMPLE))
    errors = {line.split()[0]: float(line.split()[1]) for line in capsys.readouterr().out.splitlines()}
    assert errors["ours"] < errors["adam"] < errors["encoder"]
