"""The Chromium of the browser tests: found on PATH or by $CHROMIUM; as a script it installs Debian's where it may."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WANTED = f"expected a Chromium on PATH ({', '.join(NAMES)}) or named by $CHROMIUM; found none"


def find() -> str | None:
    """The browser's executable, None where there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> int:
    """0 if there is a browser or Debian's could be installed (as root, with apt), otherwise 1 and one sentence."""
    if find():
        return 0
    if os.environ.get("CHROMIUM") or os.geteuid() != 0 or not shutil.which("apt-get"):
        print(
            f"deqbench: {WANTED}; install Debian's package chromium, or your system's, and try again", file=sys.stderr
        )
        return 1
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    for command in (["apt-get", "update", "--quiet"], install):
        if subprocess.run(command, env=environment).returncode:
            print(f"deqbench: {WANTED}, and '{' '.join(command)}' failed", file=sys.stderr)
            return 1
    return 0 if find() else 1


if __name__ == "__main__":
    sys.exit(main())
