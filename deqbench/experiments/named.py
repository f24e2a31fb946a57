"""Names that a section refers to, and the options of the methods that it names: there, or one sentence says not."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator

from deqbench import index
from deqbench.config.strict import Name, Strict
from deqbench.errors import UserError, did_you_mean
from deqbench.experiments.scope import Scope
from deqbench.registry import refusal


class Reference(str):
    """A name in a section of what is told elsewhere: of a data set, or of an entry of a part that experiments share."""

    part: str


def _to(part: str) -> AfterValidator:
    def reference(name: str) -> Reference:
        made = Reference(name)
        made.part = part
        return made

    return AfterValidator(reference)


DatasetName = Annotated[Name, _to("datasets")]
MethodName = Annotated[Name, _to("methods")]
InverterName = Annotated[Name, _to("inverters")]
ModelName = Annotated[Name, _to("models")]


def all_known(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first reference in the section to what is not there."""
    for key, name in _references(scope.key, scope.section):
        one_of(key, name, scope.config.datasets if name.part == "datasets" else getattr(scope.shared, name.part))


def _references(key: str, value: Any) -> Iterator[tuple[str, Reference]]:
    """Key and name of every reference below a key; entries of a list, and a mapping's own keys, are at its key."""
    if isinstance(value, Reference):
        yield key, value
    elif isinstance(value, list):
        for entry in value:
            yield from _references(key, entry)
    elif isinstance(value, dict | Strict):
        for name, entry in value.items() if isinstance(value, dict) else value:
            yield from _references(key, name)
            yield from _references(f"{key}.{name:g}" if isinstance(name, float) else f"{key}.{name}", entry)


def one_of(key: str, name: str, names: Any) -> None:
    """ValueError, as one sentence with its key, where a name is not among those known."""
    if name not in names:
        words = ", ".join(sorted(names))
        raise ValueError(f"@{key}@expected one of {words}; found '{name}'{did_you_mean(name, names)}")


def options_fit(
    key: str, folder: str, name: str, preset: str | None, options: dict[str, Any], presets: dict[str, dict[str, Any]]
) -> None:
    """ValueError, as one sentence with its key, for an unknown method, preset, or option of either.

    presets: options by name.
    """
    try:
        index.card(folder, name)
    except UserError as error:
        kind, words = str(error).split(": ", 1)
        raise ValueError(f"@{key}.{kind}@{words}") from error
    if preset:
        one_of(f"{key}.preset", preset, presets)
    if wrong := index.wrong(folder, name, {**presets.get(preset or "", {}), **options}):
        option, words = wrong.split(": ", 1)
        place = "options" if option in options or not preset else f"preset {preset}"
        raise ValueError(f"@{key}.{place}.{option}@{words}")


def able(key: str, folder: str, name: str, ability: str) -> None:
    """ValueError, as one sentence with its key, where a method is asked for what it cannot do."""
    card = index.card(folder, name)
    if ability in card.cannot:
        raise ValueError(f"@{key}@{refusal(card, ability)}")
