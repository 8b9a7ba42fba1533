"""Reference lists without Dagster and without a provider: responses are handed over."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.catalog.requests import SOURCE
from oddins_pipeline.catalog.response import RawResponse, canonical_hash
from oddins_pipeline.database.merge import Counts
from oddins_pipeline.pipeline.list_sync import list_sync
from oddins_pipeline.pipeline.sync import Sync
from oddins_pipeline_tests.support.core import Core

Entries = list[Any]


def list_body(spec: ReferenceList, entries: Entries) -> bytes:
    """A response over `entries`."""
    envelope = {"get": spec.path.strip("/"), "parameters": [], "errors": []}
    paging = {"current": 1, "total": 1}
    return json.dumps(
        {**envelope, "results": len(entries), "paging": paging, "response": entries}
    ).encode()


def sync_list(core: Core, spec: ReferenceList, entries: Entries, *, force: bool = False) -> Counts:
    """Publishes a response over `entries`. Raises ResponseRejectedError."""
    entries = json.loads(json.dumps(entries))
    response = RawResponse(
        body=list_body(spec, entries),
        params={},
        entries=entries,
        sha256=canonical_hash(entries),
        fetched_at=datetime.now(timezone.utc),
        source=SOURCE,
        base_url="https://provider.example.test",
        quota=Quota(),
        results=len(entries),
    )
    sync = Sync(core.session, list_sync(spec), force=force)
    payload = sync.archive(response)
    return sync.publish(sync.validate(payload))[spec.name]
