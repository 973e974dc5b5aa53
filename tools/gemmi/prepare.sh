#!/usr/bin/env bash
# Gemmi from PyPI, in a cache outside the tree, to read our CIF files as somebody else would. A tool
# of tests alone: nothing of it is shipped. Needs Python 3 with venv.
set -euo pipefail
venv=${XDG_CACHE_HOME:-$HOME/.cache}/majorana/gemmi-0.7.5
[ -e "$venv/ready" ] || {
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q gemmi==0.7.5
  touch "$venv/ready"
}
