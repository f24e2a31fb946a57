"""The one error a user sees: a sentence that names the file or key, what was expected and what was found."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One clear sentence for the user; commands print it on stderr and exit with code 1."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" for the nearest known name, or the empty string when none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name outside a known set: `what: expected one of a, b; found 'c' (did you mean 'b'?)`."""
    known = sorted(known)
    return UserError(f"{what}: expected one of {', '.join(known)}; found '{name}'{did_you_mean(name, known)}")
