"""Names that a section refers to, and the options of the methods that it names: there, or one sentence says not."""

from typing import Any

from deqbench.config import methods
from deqbench.errors import did_you_mean


def one_of(key: str, found: str, names: Any) -> None:
    """ValueError, as one sentence with its key, where a name is not among those known."""
    if found not in names:
        words = ", ".join(sorted(names))
        raise ValueError(f"@{key}@expected one of {words}; found '{found}'{did_you_mean(found, names)}")


def options_fit(key: str, folder: str, name: str, preset: str | None, options: dict[str, Any]) -> None:
    """ValueError, as one sentence with its key, for an unknown method, preset, or option of either.

    key: `papers.<paper>...`, whose presets are meant.
    """
    one_of(f"{key}.{folder.rsplit('/', 1)[-1].removesuffix('s')}", name, methods.modules(folder))
    presets = methods.presets(key.split(".")[1])
    if preset:
        one_of(f"{key}.preset", preset, presets)
    if wrong := methods.wrong_option(folder, name, {**presets.get(preset or "", {}), **options}):
        option, words = wrong.split(": ", 1)
        place = "options" if option in options or not preset else f"preset {preset}"
        raise ValueError(f"@{key}.{place}.{option}@{words}")
