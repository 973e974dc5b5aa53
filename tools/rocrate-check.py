"""Validates RO-Crates with public validators: CRATE... is checked against every profile it names.

The context of RO-Crate 1.1 comes from the package ro-crate-py, so that no network is needed.
"""
import io
import sys
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from rocrate.rocrate import ROCrate
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from urllib3 import HTTPResponse

CONTEXT_URL = "https://w3id.org/ro/crate/1.1/context"
CONTEXT = Path(sys.argv[1]).read_bytes()


class ContextAdapter(HTTPAdapter):
    """Answers with the file; everything else of the validator is as it came."""

    def send(self, request, **_kwargs):
        headers = {"Content-Type": "application/ld+json"}
        body = io.BytesIO(CONTEXT)
        raw = HTTPResponse(body=body, status=200, headers=headers, preload_content=False)
        return self.build_response(request, raw)


network = requests.Session.get_adapter
requests.Session.get_adapter = lambda self, url: (
    ContextAdapter() if url == CONTEXT_URL else network(self, url)
)

PROFILES = ["ro-crate-1.1", "process-run-crate-0.5", "workflow-run-crate-0.5", "provenance-run-crate-0.5"]
failed = False
for crate in sys.argv[2:]:
    for profile in PROFILES:
        settings = ValidationSettings(
            rocrate_uri=crate, profile_identifier=profile, requirement_severity=Severity.REQUIRED
        )
        issues = services.validate(settings).get_issues(Severity.REQUIRED)
        print(f"{crate}: {profile}: {'valid' if not issues else f'{len(issues)} issues'}")
        for issue in issues[:20]:
            print(f"  {issue.check.identifier}: {issue.message} {getattr(issue, 'violatingEntity', '')}")
        failed = failed or bool(issues)
    read = ROCrate(crate)
    actions = [one for one in read.get_entities() if "CreateAction" in one.type]
    print(f"{crate}: ro-crate-py reads {read.mainEntity.id} with {len(actions)} executions")
    failed = failed or len(actions) < 2
sys.exit(1 if failed else 0)
