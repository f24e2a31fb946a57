"""Costs of a step, an encoder, score networks compared on it, and VAEs trained jointly."""

from typing import Any

import torch
from safetensors.torch import load_file

from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.distances import Scoring
from deqbench.experiments.deq_score_matching.nets import rows_of
from deqbench.experiments.deq_score_matching.vae import frozen, joint, networks
from deqbench.experiments.deq_score_matching.vae.costs import costs, size_word
from deqbench.experiments.deq_score_matching.vae.job import CompareJob, CostJob, EncodeJob, GenerateJob
from deqbench.experiments.deq_score_matching.vae.printed import layers
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.score_matching.vae import ImplicitVAE
from deqbench.training.trainer import train

PLAIN = networks.Score(preprocessing="none")


def cost(job: CostJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Costs of a step by network and size (records), and the layers beside the printed ones (layers)."""
    common = {name: getattr(job, name) for name in ("width", "latent", "sigma", "objective", "seed", "device")}
    rows = [
        row
        for size in stepped(job.costs.sizes, on_step)
        for row in costs(job.networks, size, repeats=job.costs.repeats, **common)
    ]
    return {"records": rows, "layers": [{"dataset": job.costs.sizes[0].dataset, **row} for row in layers(job.paper)]}


def _vae(job: Any, shape: Any, score: networks.Score, number: int) -> ImplicitVAE:
    return networks.vae(score, shape, job.latent, job.width, 1000 * job.seed + number).to(job.device)


def encode(job: EncodeJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """The weights of a VAE trained with the plain score network; only its encoder is made use of."""
    data = datasets.load(files.one("dataset"))
    net = _vae(job, data.shape, PLAIN, 0)

    def tell(done: int, value: float) -> None:
        on_step(done, job.optimisation.steps)

    loss = networks.joint_loss(PLAIN, job.objective, job.sigma)
    trained = train(net, loss, {"train": (data.train,)}, job.optimisation, on_step=tell)
    return {"weights": trained.weights, "facts": {"step": trained.step, "stop": trained.stop}}


def compare(job: CompareJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Score networks on one encoder, each at the rate that is best on tuning data: losses on test data (records), and
    their course at every rate (history).
    """
    data = datasets.load(files.one("dataset"))
    net = _vae(job, data.shape, PLAIN, 0)
    net.load_state_dict(load_file(files.one("encoder")))
    encoder = frozen.Encoder(net.to(job.device).requires_grad_(False), job.frozen.noise)
    records, history = [], []
    seed = 1000 * job.seed + job.number
    for name in stepped(job.frozen.networks, on_step):
        score = job.networks[name]
        make = lambda score=score: networks.score_network(score, data.shape, job.latent, job.width, seed)  # noqa: E731
        row, course = frozen.compared(make, score, encoder, data, job.frozen, job.objective, seed, job.device)
        keys = {"size": size_word(data.shape), "method": name, "seed": job.number}
        records += rows_of(row, **keys)
        history += [{**keys, **one} for one in course]
    return {"records": records, "history": history}


def generate(job: GenerateJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """VAEs trained jointly: what they are after some shares of the training (records, history), and images."""
    data = datasets.load(files.one("dataset"))
    scoring = Scoring.of(data, files.all("features"), job.extractor)
    records, history, images = [], [], {"real": data.test[: joint.SHOWN]}
    for name in stepped(job.joint.networks, on_step):
        net = _vae(job, data.shape, job.networks[name], job.number)
        course = joint.trained(net, job.networks[name], data, job.joint, job.objective, job.sigma, scoring, job.number)
        keys = {"size": size_word(data.shape), "method": name, "seed": job.number}
        for step, share, values in course:
            at = {**keys, "step": step}
            history += rows_of(values, **at)
            records += rows_of(values, **at, share=share) if share in job.joint.shares else []
        draw = torch.Generator().manual_seed(job.seed)
        images[name] = net.sample(joint.SHOWN, draw).cpu()
    return {"records": records, "history": history, "images": (images, {"dataset": job.dataset})}
