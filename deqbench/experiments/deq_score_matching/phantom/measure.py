"""Studies, trainings that are followed, the runaway, and rounds of other models."""

from typing import Any

from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.phantom import contraction, propositions, unbounded
from deqbench.experiments.deq_score_matching.phantom.following import follow as followed
from deqbench.experiments.deq_score_matching.phantom.iterations import of_model
from deqbench.experiments.deq_score_matching.phantom.job import CountJob, FollowJob, RunawayJob, StudyJob
from deqbench.experiments.deq_score_matching.phantom.losing import course, losses
from deqbench.experiments.files import Files, OnStep
from deqbench.training.zoo.densities import made_ready


def study(job: StudyJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Rows of the propositions, those of the second by K apart, of contractions and of the unbounded example."""
    both = list(propositions.rows(job.propositions, job.seed))
    made = {"derivatives": [row for row in both if "K" not in row], "series": [row for row in both if "K" in row]}
    if job.contraction is not None:
        made["contraction"] = _of("contraction", contraction.rows(job.contraction, job.seed))
    if job.unbounded is not None:
        made["unbounded"] = _of("unbounded", unbounded.rows(job.unbounded, job.seed))
    return made


def _of(experiment: str, rows: Any) -> list[dict[str, Any]]:
    return [{"experiment": experiment, **row} for row in rows]


def follow(job: FollowJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """What was seen of a training: by update (twice, for tables and drawings), by row, and the rounds of its solves."""
    data = made_ready(datasets.load(files.one("data"), kind=None), job.preparation)
    seen = followed(job, data.train, lambda done, loss: on_step(done, job.method.optimisation.steps))
    made = {"steps": seen.by_step, "steps_drawn": seen.by_step, "rows": seen.by_row}
    return made | ({"rounds": _of("table-10", seen.rounds)} if job.iterations else {})


def runaway(job: RunawayJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """The shipped weights' losses by row, taken again, and the course of both losses while they were trained."""
    return {"losses": list(losses(job)), "course": list(course(job))}


def count(job: CountJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Rounds of one model's solves."""
    return {"rounds": list(of_model(job, files.one("weights"), files.one("data")))}
