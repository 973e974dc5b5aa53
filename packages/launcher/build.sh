#!/usr/bin/env bash
# Builds the static launchers for both architectures with the Zig compiler of PyPI; reproducible.
set -euo pipefail
cd "$(dirname "$0")"
venv=${XDG_CACHE_HOME:-$HOME/.cache}/majorana/zig-0.17.1
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m ziglang version >/dev/null 2>&1 || "$venv/bin/pip" install -q ziglang==0.17.1
hash=$(sha256sum launcher.c | cut -d' ' -f1)
mkdir -p bin
for pair in x86_64:x64 aarch64:arm64; do
  "$venv/bin/python" -m ziglang cc -target "${pair%%:*}-linux-musl" -std=gnu11 -Os -static -s -Wall -Wextra -Werror \
    -DSOURCE_SHA256="\"$hash\"" launcher.c -o "bin/launcher-linux-${pair##*:}"
done
ls -l bin
