"""The archive: bytes as received, how long they are kept, and which response is published again."""

from __future__ import annotations

import json
import subprocess
import sys

import psycopg

from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import body_of, serve
from oddins_pipeline_tests.support.service import Service


def test_a_payload_is_byte_for_byte_what_came(service: Service) -> None:
    body = body_of(generate_leagues(0.01)).replace(b'"get":', b'\n  "get" :')
    service.provider.bodies = [body]
    service.sync()
    done = subprocess.run(
        [sys.executable, "-m", "oddins_pipeline", "payload", "1"],
        env={**service.environment(), "PATH": ""},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == body


def test_an_unknown_payload_is_one_sentence(service: Service) -> None:
    done = service.run("payload", "99", **service.environment())
    assert done.code == 1
    assert "no payload 99 is archived" in done.stderr


def test_retention_empties_old_bodies_but_never_the_newest_published_full_one(
    service: Service,
) -> None:
    entries = generate_leagues(0.01)
    renamed = [{**e, "league": {**e["league"], "name": "New"}} for e in entries]
    serve(service, entries, renamed)
    service.sync()
    service.sync()
    service.provider.bodies = None
    service.sync("--season", "2024", "--force")
    with psycopg.connect(service.database) as connection:
        connection.execute("UPDATE provider_payloads SET last_seen_at = now() - interval '91 days'")
        connection.execute("UPDATE provider_requests SET requested_at = now() - interval '91 days'")
    serve(service, renamed[::-1])
    assert service.sync("--force").code == 0
    kept = service.query("SELECT id, body IS NOT NULL, bytes > 0 FROM provider_payloads ORDER BY 1")
    assert kept == [(1, False, True), (2, False, True), (3, False, True), (4, True, True)]
    assert service.query("SELECT count(*) FROM provider_requests") == [(1,)]
    done = service.run("payload", "1", **service.environment())
    assert done.code == 1
    assert "past its retention" in done.stderr


def test_a_replay_is_refused_when_something_newer_is_published(service: Service) -> None:
    serve(service, generate_leagues(0.01))
    service.sync()
    service.provider.bodies = None
    assert service.sync("--season", "2024", "--force").code == 0
    before = service.versions()
    done = service.sync("--replay")
    assert done.code == 1
    assert "payload 2 has been published or confirmed since" in done.stderr
    assert service.versions() == before


def test_the_same_response_after_a_partial_one_is_published_again(service: Service) -> None:
    entries = generate_leagues(0.05)
    serve(service, entries)
    service.sync()
    service.provider.bodies = None
    assert service.sync("--season", "2024").code == 0
    serve(service, entries)
    done = service.sync()
    assert done.json["unchanged"] is False
    assert service.query("SELECT count(*) FROM provider_payloads") == [(3,)]


def test_a_rejected_response_is_named_with_its_command_and_listed(service: Service) -> None:
    assert service.sync().code == 0
    service.provider.script("shrunk")
    refused = service.sync()
    assert refused.code == 1
    assert "see it with `oddins payload 2`" in refused.stderr
    assert "--force asks the provider again" in refused.stderr
    listed = service.run("payloads", "--rejected", "--json", **service.environment())
    (row,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (row["id"], row["published_at"], row["has_body"]) == (2, None, True)
    assert row["fetched_at"].endswith("Z")
    text = service.run("payloads", **service.environment()).stdout.splitlines()
    assert ["rejected: " in line for line in text] == [True, False]
