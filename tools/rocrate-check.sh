#!/usr/bin/env bash
# Exports a run of the real product in three forms and lets public validators judge them.
# Needs Python 3 with venv; everything else is fetched into a cache outside the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
validator=0.13.0
# The newest ro-crate-py that carries the context of RO-Crate 1.1.
reader=0.13.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/majorana
venv=$cache/rocrate-$validator-$reader
[ -e "$venv/ready" ] || {
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q "roc-validator==$validator" "rocrate==$reader"
  touch "$venv/ready"
}
MAJORANA_DATA=$(mktemp -d)
export MAJORANA_DATA
majorana=$PWD/packages/cli/bin/majorana
check=$PWD/tools/rocrate-check.py
trap '$majorana down >/dev/null 2>&1 || true; rm -rf "$MAJORANA_DATA"' EXIT
$majorana up --detach
mkdir "$MAJORANA_DATA/work" && cd "$MAJORANA_DATA/work"
mkdir words && printf 'one\n' > words/1.txt && printf 'two {x} é\n' > 'words/2 b.txt'
$majorana data put words words
cat > flow.yaml <<'YAML'
name: crate
inputs: { words: { kind: files }, mark: { default: '!' } }
steps:
  shout:
    argv: [sh, -c, 'tr a-z A-Z < "$1" > loud.txt; echo "$2" >> loud.txt', sh, '{file}', '{mark}']
    each: { kind: files, from: words }
    env: { LC_ALL: C }
    tools: { tr: '9.1' }
    outputs: [loud.txt]
  rounds:
    with: { said: shout }
    workflow:
      inputs: { said: { kind: files } }
      steps:
        count: { argv: [sh, -c, 'cat said/*/* | wc -l > n.txt; echo {iteration} >> n.txt'], inputs: [{ path: said, from: said }], outputs: [n.txt] }
      outputs: { n: count/n.txt }
    repeat: { until: { kind: lines, from: count/n.txt, atLeast: 2 }, iterationsMax: 2 }
outputs: { all: shout, n: rounds/n }
YAML
$majorana workflow run flow.yaml --input words=dataset:words@1 --quiet
# Every step of the second is an earlier result.
$majorana workflow run flow.yaml --input words=dataset:words@1 --quiet
$majorana workflow export run_1 -o whole
$majorana workflow export run_2 -o metadata --no-data
$majorana workflow export run_2 -o run.crate.zip
context=$(find "$venv" -path "*/rocrate/data/ro-crate.jsonld")
"$venv/bin/python" "$check" "$context" whole metadata run.crate.zip
# A judge that lets everything by would be none.
sed 's/"ControlAction"/"Action"/' whole/ro-crate-metadata.json > broken.json
cp broken.json whole/ro-crate-metadata.json
! "$venv/bin/python" "$check" "$context" whole > /dev/null
