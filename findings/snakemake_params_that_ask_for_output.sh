#!/usr/bin/env bash
# Snakemake 9.27.1 (Python 3.11): a changed param is a reason to run a job again, but not if its function also asks for output.
#
# `--rerun-triggers` has params among its defaults: a rule whose param was `first` and is now `second` runs again. A param may
# be a function of the wildcards, and may ask for `input`, `output`, `threads` or `resources` as well. One that does is left
# out of the comparison, although its value is handed to the shell command all the same: the job counts as up to date, no
# word is said, and the old result stays. Asking for `output` without using it is enough.
# What holds: functions of the wildcards alone for all that a result depends on.
#
# Run by hand; installs into a temporary folder. Exit code 0 while the behaviour is as described.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3.11}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1
cd "$room"
cat >Snakefile <<'SNAKEFILE'
rule all:
    input: "plain.txt", "asking.txt"

rule plain:
    output: "plain.txt"
    params: word=lambda wildcards: config["word"]
    shell: "echo {params.word} > {output}"

rule asking:
    output: "asking.txt"
    params: word=lambda wildcards, output: config["word"]
    shell: "echo {params.word} > {output}"
SNAKEFILE
venv/bin/snakemake --cores 1 --config word=first >log 2>&1
venv/bin/snakemake --cores 1 --config word=second >>log 2>&1
echo "after the change: plain.txt holds $(cat plain.txt), asking.txt holds $(cat asking.txt)"
[ "$(cat plain.txt)" = second ] && [ "$(cat asking.txt)" = first ]
