"""The real command line, called in this process: what it prints and its exit code."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from deqbench import cli


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence of a refusal. AssertionError: it is not exactly one, last on stderr, with exit code 1."""
        lines = self.err.strip().splitlines()
        assert self.code == 1, (self.code, self.err)
        assert "Traceback" not in self.err, self.err
        assert [line for line in lines if line.startswith("deqbench: ")] == lines[-1:], self.err
        return lines[-1].removeprefix("deqbench: ")


def run(*words: object) -> Ran:
    """Runs `deqbench words...`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["deqbench", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
    return Ran(code, out.getvalue(), err.getvalue())
