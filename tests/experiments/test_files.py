"""Files of jobs, and the steps that a job tells."""

from deqbench.experiments.files import stepped


def test_an_item_is_told_once_its_work_is_done():
    told: list[object] = []
    for item in stepped(["a", "b"], lambda done, total: told.append((done, total))):
        told.append(item)
    assert told == ["a", (1, 2), "b", (2, 2)]
