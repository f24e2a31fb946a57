#!/usr/bin/env bash
# Snakemake 9.27.1 (Python 3.11): a rule made in a loop, with an f-string over the loop's variable as its shell command,
# prints one command and runs another.
#
# Rules may be made in a loop (`for name in ...: rule: name: name`), and input, output, params and log are evaluated as the
# loop goes. The shell command is not: it becomes the body of a function that is called when the job runs, so an f-string
# there sees the loop's last value. With --printshellcmds the log shows the first rule's own words, `echo first`, and the
# file that the job made holds `second`. No error and no warning; --lint says nothing about it either.
# What holds: hand the value over as a param and write {params.word} in a plain string.
#
# Run by hand; installs into a temporary folder. Exit code 0 while the behaviour is as described.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3.11}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$room"
cat >Snakefile <<'SNAKEFILE'
for name in ("first", "second"):

    rule:
        name: f"{name}_formatted"
        output: f"{name}.formatted"
        shell: f"echo {name} > {{output}}"

    rule:
        name: f"{name}_param"
        output: f"{name}.param"
        params: word=name
        shell: "echo {params.word} > {output}"
SNAKEFILE
venv/bin/snakemake --cores 1 --printshellcmds first.formatted first.param >log 2>&1
printed=$(grep -o 'echo [a-z]* > first.formatted' log)
echo "printed: $printed; first.formatted holds: $(cat first.formatted); first.param holds: $(cat first.param)"
[ "$printed" = "echo first > first.formatted" ] && [ "$(cat first.formatted)" = second ] && [ "$(cat first.param)" = first ]
