"""Names that a section refers to, and the options of the methods that it names: there, or one sentence says not."""

from typing import Any

from deqbench import index
from deqbench.errors import UserError, did_you_mean
from deqbench.registry import refusal


def one_of(key: str, found: str, names: Any) -> None:
    """ValueError, as one sentence with its key, where a name is not among those known."""
    if found not in names:
        words = ", ".join(sorted(names))
        raise ValueError(f"@{key}@expected one of {words}; found '{found}'{did_you_mean(found, names)}")


def wrong_option(folder: str, name: str, options: dict[str, Any]) -> str | None:
    """`option: expected ...; found ...` of an option that the method would refuse, or of an unknown method.

    folder: that of the method's family.
    """
    try:
        return index.wrong(folder, name, options)
    except UserError as error:
        return str(error)


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
    if wrong := wrong_option(folder, name, {**presets.get(preset or "", {}), **options}):
        option, words = wrong.split(": ", 1)
        place = "options" if option in options or not preset else f"preset {preset}"
        raise ValueError(f"@{key}.{place}.{option}@{words}")


def able(key: str, folder: str, name: str, ability: str) -> None:
    """ValueError, as one sentence with its key, where a method is asked for what it cannot do."""
    card = index.card(folder, name)
    if ability in card.cannot:
        raise ValueError(f"@{key}@{refusal(card, ability)}")
