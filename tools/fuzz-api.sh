#!/usr/bin/env bash
# Schemathesis against the running product: no 5xx, and no answer that the OpenAPI document does not allow.
# Needs Python 3 with venv; everything else is fetched into a cache outside the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.32.5
venv=${XDG_CACHE_HOME:-$HOME/.cache}/majorana/schemathesis-$version
[ -x "$venv/bin/schemathesis" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q "schemathesis==$version"; }
MAJORANA_DATA=$(mktemp -d)
export MAJORANA_DATA
config=$PWD/tools/schemathesis.toml
majorana=$PWD/packages/cli/bin/majorana
trap '$majorana down >/dev/null 2>&1 || true; rm -rf "$MAJORANA_DATA"' EXIT
$majorana up --detach
url=$($majorana status --json | grep -oE 'http://[0-9.:]+' | head -1)
# It keeps files where it runs.
cd "$MAJORANA_DATA"
# Parameter sets and versions of datasets are lines of JSON, which Schemathesis cannot write, and the events of an open job do not
# end; the server's own tests have them.
"$venv/bin/schemathesis" --config-file "$config" run "$url/api/v1/openapi.json" -u "$url" \
  -H "Authorization: Bearer $(cat "$MAJORANA_DATA/token")" --max-time "${1:-90}" \
  --exclude-path /api/v1/parameter-sets --exclude-path '/api/v1/datasets/{name}/versions' --exclude-path '/api/v1/jobs/{id}/events' --seed "${2:-1}" --workers 2 --request-timeout 20 \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,ignored_auth \
  --suppress-health-check all --warnings off --no-color
