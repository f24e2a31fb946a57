"""Autoencoders, latent models and one-step generators: their losses are the closed forms, and their training learns."""

import json
from types import MappingProxyType, SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DModel
from torch.distributions import Normal, kl_divergence

from deqbench import provenance
from deqbench.data import autoencoders as stored
from deqbench.data import checkpoints, datasets
from deqbench.zoo import autoencoders, latents, one_step, training
from tests.command_line import run

CLASSES = 2
UNET = {
    "sample_size": 8,
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D"] * 2,
    "up_block_types": ["UpBlock2D"] * 2,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
    "num_class_embeds": CLASSES + 1,
}
KL = {
    "latent_channels": 2,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}
TINY = {
    "latent_channels": 2,
    "encoder_block_out_channels": [8, 8],
    "decoder_block_out_channels": [8, 8],
    "num_encoder_blocks": [1, 1],
    "num_decoder_blocks": [1, 1],
}
FORMS = {"AutoencoderKL": KL, "AutoencoderTiny": TINY}
LOOP = {"batch": 8, "lr": 3e-3, "ema_decay": 0.9, "seed": 0, "bf16": False}
SCHEDULER = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, timestep_spacing="leading")

each_form = pytest.mark.parametrize("form", FORMS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(make, **arguments):
    torch.manual_seed(0)
    return make(**arguments)


def toy() -> datasets.Dataset:
    """Stripes of two colours, 16 pixels wide: the label is the colour."""
    labels = torch.arange(24) % CLASSES
    colours = torch.tensor([[0.8, -0.5, 0.1], [-0.6, 0.4, 0.9]])
    waves = torch.sin(torch.linspace(0, 9, 16) + torch.linspace(0, 3, 24).view(-1, 1))  # (24, 16)
    images = colours[labels].view(-1, 3, 1, 1) * waves.view(-1, 1, 1, 16).expand(-1, -1, 16, -1)
    return datasets.Dataset(images[:16], images[16:20], images[20:], True, labels[:16], labels[20:])


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Autoencoders.


def test_the_loss_of_a_distribution_is_its_errors_and_torch_s_own_divergence():
    net, x = fresh(AutoencoderKL, **KL), toy().train[:4]
    with torch.no_grad():
        found = autoencoders.autoencoder_loss(net, x, seeded(1), l1=0.3, kl=0.7)
        q = net.encode(x).latent_dist
        error = net.decode(q.mean + q.std * torch.randn(q.mean.shape, generator=seeded(1))).sample - x
        divergence = kl_divergence(Normal(q.mean, q.std), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(found, error.pow(2).mean() + 0.3 * error.abs().mean() + 0.7 * divergence)


def test_the_loss_of_a_code_is_that_of_a_unit_normal_about_it():
    net, x = fresh(AutoencoderTiny, **TINY), toy().train[:4]
    with torch.no_grad():
        found = autoencoders.autoencoder_loss(net, x, seeded(1), l1=0.3, kl=0.7)
        z = net.encode(x).latents
        error = net.decode(z).sample - x
        divergence = kl_divergence(Normal(z, 1.0), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(found, error.pow(2).mean() + 0.3 * error.abs().mean() + 0.7 * divergence)


class Halves:
    """E is a mean over squares of two pixels, D(E(x)) a scale of it: both errors are known."""

    config = MappingProxyType({"scaling_factor": 2.0})

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def eval(self) -> None:
        pass

    def encode(self, x):
        return SimpleNamespace(latents=torch.nn.functional.avg_pool2d(x, 2))

    def decode(self, z):
        return SimpleNamespace(sample=self.scale * torch.nn.functional.interpolate(z, scale_factor=2.0))


def test_the_quality_of_a_linear_pair_is_the_closed_form():
    flat = torch.linspace(-1, 1, 40).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()
    found = autoencoders.quality(Halves(0.9), flat)
    assert found["cycle_nmse_db"] == pytest.approx(-20, abs=1e-4)
    levels = torch.linspace(-1, 1, 40).double()
    assert found["psnr_db"] == pytest.approx(float((10 * torch.log10(4 / (0.1 * levels) ** 2)).mean()), abs=1e-4)


@each_form
def test_some_steps_teach_an_autoencoder_its_images_and_the_same_again(form):
    options = {**LOOP, "batch": 4, "steps": 40, "l1": 0.1, "kl": 1e-4}
    nets = [fresh(autoencoders.build, form=form, network=FORMS[form]) for _ in range(3)]
    before = autoencoders.quality(nets[0], toy().test)["psnr_db"]
    weights = [autoencoders.train_autoencoder(net, toy(), **options) for net in nets[:2]]
    assert same(*weights)
    assert not same(weights[0], autoencoders.train_autoencoder(nets[2], toy(), **{**options, "l1": 0.5}))
    nets[0].load_state_dict(weights[0])
    assert autoencoders.quality(nets[0], toy().test)["psnr_db"] > before + 3


@each_form
def test_an_autoencoder_s_training_that_was_killed_goes_on_to_the_same_weights(form, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "KEEP_EVERY", 4)
    options = {**LOOP, "steps": 10, "l1": 0.1, "kl": 1e-4}

    def train(**more):
        net = fresh(autoencoders.build, form=form, network=FORMS[form])
        return autoencoders.train_autoencoder(net, toy(), **options, **more)

    def killed(step, loss):
        if step == 6:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        train(state=tmp_path / "state.safetensors", on_step=killed)
    resumed = train(state=tmp_path / "state.safetensors", on_step=lambda step, loss: seen.append(step))
    assert seen == list(range(5, 11)) and same(resumed, train())


# Latent models.


def test_codes_are_those_of_every_turned_copy_with_its_label_scaled():
    images, labels = torch.randn(3, 3, 8, 8, generator=seeded(0)), torch.tensor([4, 1, 7])
    z, found = latents.latent_codes(Halves(1.0), images, labels, symmetric=True)
    assert z.shape == (24, 3, 4, 4) and found.tolist() == 8 * [4, 1, 7]
    half = 2 * torch.nn.functional.avg_pool2d(images, 2)  # a mean over squares turns as its image does
    for k in range(24):
        turned = datasets.dihedral(half[k % 3 : k % 3 + 1], torch.tensor([k // 3]))[0]
        torch.testing.assert_close(z[k], turned)  # but for the order of its sums
    z, found = latents.latent_codes(Halves(1.0), images, labels, symmetric=False)
    assert torch.equal(z, half) and torch.equal(found, labels)


@pytest.fixture(scope="module")
def codes() -> datasets.Dataset:
    labels = torch.arange(64) % CLASSES
    z = (2.0 * labels - 1).view(-1, 1, 1, 1) + 0.1 * torch.randn(64, 2, 8, 8, generator=seeded(0))
    return datasets.Dataset(z, z[:8], z[:8], False, labels, labels[:8])


def train_latent(codes, net=None, **changes):
    options = {**LOOP, "steps": 20, "drop": 0.2, "noise": 0.05, **changes}
    return latents.train_latent(net or fresh(UNet2DModel, **UNET), codes, SCHEDULER.alphas_cumprod, **options)


def test_a_latent_model_learns_noise_repeatably_and_knows_its_noise_and_its_seed(codes):
    net, weights = fresh(UNet2DModel, **UNET), train_latent(codes)
    before = latents.heldout_loss(net, codes, SCHEDULER.alphas_cumprod)
    net.load_state_dict(weights)
    assert latents.heldout_loss(net, codes, SCHEDULER.alphas_cumprod) < 0.8 * before
    assert same(train_latent(codes), weights)
    assert not same(train_latent(codes, noise=0.0), weights) and not same(train_latent(codes, seed=1), weights)


@pytest.mark.parametrize(("drop", "still"), [(0.0, [CLASSES]), (1.0, list(range(CLASSES)))])
def test_dropped_labels_train_the_last_class_and_kept_ones_the_others(codes, drop, still):
    before = fresh(UNet2DModel, **UNET).class_embedding.weight.detach().clone()
    after = train_latent(codes, drop=drop, steps=3)["class_embedding.weight"]
    assert [k for k in range(CLASSES + 1) if torch.equal(before[k], after[k])] == still


class Points:
    """The exact denoiser of classes that are one point each, c_k = k, the last being no condition."""

    config = MappingProxyType({"num_class_embeds": 4, "in_channels": 1, "sample_size": 2})

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x, t, labels):
        self.calls += 1
        a = SCHEDULER.alphas_cumprod[t].double()
        return SimpleNamespace(sample=(x - a.sqrt() * labels.view(-1, 1, 1, 1)) / (1 - a).sqrt())


@pytest.mark.parametrize(("guidance", "calls"), [(1.0, 5), (3.0, 10), (7.5, 10)])
def test_guidance_moves_the_point_that_is_sampled_away_from_that_of_no_condition(guidance, calls):
    net, labels = Points(), torch.tensor([0, 2])
    x_T = torch.randn(2, 1, 2, 2, generator=seeded(0), dtype=torch.float64)
    found = latents.sampled(net, SCHEDULER, x_T, labels, 5, guidance)
    expected = (3 + guidance * (labels - 3.0)).view(-1, 1, 1, 1).expand_as(found)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)
    assert net.calls == calls


# One-step generators.


def test_pairs_are_the_teacher_s_points_for_every_class_whatever_the_batch():
    wanted = {"steps": 4, "generator": seeded(3)}
    x_T, labels, z_0 = one_step.teacher_pairs(Points(), SCHEDULER, 50, **wanted)
    assert sorted(set(labels.tolist())) == [0, 1, 2, 3] and x_T.shape == z_0.shape == (50, 1, 2, 2)
    torch.testing.assert_close(z_0, labels.view(-1, 1, 1, 1).expand_as(z_0), rtol=1e-4, atol=1e-4, check_dtype=False)
    again = one_step.teacher_pairs(Points(), SCHEDULER, 50, steps=4, generator=seeded(3), batch=7)
    assert torch.equal(again[0], x_T) and torch.equal(again[1], labels)
    torch.testing.assert_close(again[2], z_0)


def test_one_call_takes_the_velocity_at_the_last_timestep_from_the_noise():
    asked = []

    def net(x, t, labels):
        asked.append((t.tolist(), labels.tolist()))
        return SimpleNamespace(sample=x - labels.view(-1, 1, 1, 1))

    x_T, labels = torch.randn(3, 2, 4, 4, generator=seeded(0)), torch.tensor([2, 0, 1])
    found = one_step.generated(net, x_T, labels)
    torch.testing.assert_close(found, labels.view(-1, 1, 1, 1).expand(3, 2, 4, 4).float())
    assert asked == [([999] * 3, [2, 0, 1])]


def pairs_of(seed: int) -> one_step.Pairs:
    """A teacher that keeps a tenth of the noise about the class's own point."""
    x_T, labels = one_step.drawn(64, CLASSES, (2, 8, 8), seeded(seed))
    return x_T, labels, (2.0 * labels - 1).view(-1, 1, 1, 1) + 0.1 * x_T


def test_a_one_step_generator_comes_near_to_its_teacher_and_the_same_again():
    nets = [fresh(UNet2DModel, **UNET) for _ in range(2)]
    before = one_step.teacher_error(nets[0], pairs_of(1))
    weights = [one_step.train_one_step(net, pairs_of(0), **LOOP, steps=40) for net in nets]
    assert same(*weights)
    nets[0].load_state_dict(weights[0])
    assert one_step.teacher_error(nets[0], pairs_of(1)) < before - 3


def test_the_distance_to_the_teacher_is_the_ratio_of_squares_in_decibels():
    x_T, labels, z_0 = pairs_of(2)
    ten_percent_off = torch.nn.Identity()
    ten_percent_off.forward = lambda x, t, k: SimpleNamespace(sample=x - 1.1 * z_0)
    assert one_step.teacher_error(ten_percent_off, (x_T, labels, z_0)) == pytest.approx(-20, abs=1e-3)


# The command: each model upon the one before.


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An autoencoder, a latent model and a one-step generator of a few steps, trained by the command."""
    out, common = tmp_path_factory.mktemp("made"), {**LOOP, "steps": 4, "dataset": "patches", "data_licence": "none"}
    recipes = {
        "vae": {"kind": "autoencoder", "form": "AutoencoderKL", "network": KL, "l1": 0.1, "kl": 1e-4},
        "latent": {"kind": "latent", "builds_on": "vae", "unet": UNET, "drop": 0.2, "noise": 0.0},
        "one-step": {"kind": "one-step", "builds_on": "latent", "pairs": 6, "teacher_steps": 2},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, "patches", toy)
        for name, recipe in recipes.items():
            base = ["--base", str(out / recipe["builds_on"])] if "builds_on" in recipe else []
            words = ["--recipe", json.dumps(common | recipe), "--out", str(out / name), *base]
            ran = run("zoo", "train", name, *words)
            assert ran.code == 0, ran.err
    return out


def test_each_model_s_card_has_its_checksum_its_base_s_and_what_it_predicts(made):
    cards = {name: json.loads((made / name / "card.json").read_text()) for name in ("vae", "latent", "one-step")}
    for name, card in cards.items():
        assert card["sha256"] == {path.name: provenance.sha256(path) for path in (made / name).glob("*.safetensors")}
    assert cards["latent"]["base_sha256"] == cards["vae"]["sha256"] and cards["latent"]["prediction"] == "epsilon"
    assert cards["one-step"]["base_sha256"] == cards["latent"]["sha256"]
    assert cards["one-step"]["prediction"] == "one-step" and "base_sha256" not in cards["vae"]
    assert not list(made.glob(".*"))  # no progress is left behind


def test_the_codes_of_tuning_images_are_scaled_to_one(made):
    vae = stored.load(made / "vae")
    z = autoencoders.codes(vae, toy().tuning) * vae.config["scaling_factor"]
    assert float(z.std()) == pytest.approx(1, abs=0.01)


def test_a_one_step_generator_starts_from_its_teacher_s_weights(made, tmp_path):
    recipe = {"kind": "one-step", "builds_on": "latent", "pairs": 6, "teacher_steps": 2, "data_licence": "none"}
    job = json.dumps({**LOOP, "steps": 1, "lr": 1e-12, "dataset": "digits", **recipe})
    ran = run("zoo", "train", "mine", "--recipe", job, "--out", tmp_path / "out", "--base", made / "latent")
    assert ran.code == 0, ran.err
    one, other = (
        dict(checkpoints.load(folder).net.named_parameters()) for folder in (made / "latent", tmp_path / "out")
    )
    assert same(one, other)


@pytest.mark.parametrize("name", ["latent", "one-step"])
def test_the_networks_are_stored_in_half_precision_and_load_as_denoisers_of_codes(made, name):
    network = checkpoints.load(made / name)
    assert network.shape == (2, 8, 8) and int(network.net.config["num_class_embeds"]) == CLASSES + 1
    assert all(torch.equal(p, p.half().float()) for p in network.net.parameters())


def test_a_base_that_is_not_there_is_one_sentence(tmp_path):
    recipe = {"kind": "one-step", "builds_on": "latent", "pairs": 6, "teacher_steps": 2, "data_licence": "none"}
    job = json.dumps({**LOOP, "steps": 1, "dataset": "digits", **recipe})
    ran = run("zoo", "train", "mine", "--recipe", job, "--out", str(tmp_path / "out"))
    assert ran.sentence.startswith("zoo model: expected one of ")
    ran = run("zoo", "train", "mine", "--recipe", job, "--out", str(tmp_path / "out"), "--base", str(tmp_path))
    assert ran.sentence.startswith(f"{tmp_path}: expected config.json and diffusion_pytorch_model.safetensors; found ")
