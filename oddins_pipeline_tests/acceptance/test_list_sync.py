"""`oddins sync bookmakers|bets`, and a run with everything selected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oddins_pipeline.catalog.bets import BETS
from oddins_pipeline.catalog.bookmakers import BOOKMAKERS
from oddins_pipeline_tests.support.lists import list_body
from oddins_pipeline_tests.support.service import Service

LISTS = {"bookmakers": BOOKMAKERS, "bets": BETS}


def sync(service: Service, name: str, *options: str) -> dict[str, object]:
    done = service.run("sync", name, "--json", *options, **service.environment())
    assert done.code == 0, done.stderr
    return done.json


def materialize_all(service: Service, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("--select", "*", "-m", "oddins_pipeline.definitions"),
        ],
        env={**os.environ, **service.environment()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def states(service: Service) -> dict[str, tuple[bool, str | None]]:
    return {
        entity: (synced, error)
        for entity, synced, error in service.query(
            "SELECT entity, last_synced_at IS NOT NULL, last_error FROM provider_sync_state"
        )
    }


@pytest.mark.parametrize("name", LISTS)
def test_a_list_syncs_by_one_request_and_again_changes_nothing(service: Service, name: str) -> None:
    first = sync(service, name)
    rows = len(service.provider.lists[LISTS[name].path])
    assert first["counts"][name]["inserted"] == rows  # type: ignore[index]
    assert sync(service, name)["unchanged"] is True
    assert [path for _, path, _ in service.provider.requests] == [LISTS[name].path] * 2
    dry = sync(service, name, "--dry-run")
    assert (dry["dry_run"], dry["guard"]) == (True, "accepts")
    assert sync(service, name, "--replay")["payload_id"] == first["payload_id"]
    shown = service.run("changes", "--entity", name, **service.environment())
    assert "initial load" in shown.stdout


def test_a_suspended_account_fails_the_leagues_and_not_the_bookmakers(
    service: Service, tmp_path: Path
) -> None:
    service.provider.script("suspended", "/leagues")
    assert materialize_all(service, tmp_path).returncode == 1
    found = states(service)
    assert found["bookmakers"] == found["bets"] == (True, None)
    synced, error = found["leagues_seasons"]
    assert not synced
    assert "suspended" in str(error)


def test_a_list_outside_the_plan_fails_alone(service: Service, tmp_path: Path) -> None:
    service.provider.script("plan", "/odds/bets")
    assert materialize_all(service, tmp_path).returncode == 1
    found = states(service)
    assert found["leagues_seasons"] == found["bookmakers"] == (True, None)
    assert "plan does not cover" in str(found["bets"][1])
    assert sorted(path for _, path, _ in service.provider.requests) == [
        *("/leagues", "/odds/bets", "/odds/bookmakers")
    ]


def test_a_shrunken_list_is_rejected_and_published_with_force(service: Service) -> None:
    entries = service.provider.lists["/odds/bets"]
    sync(service, "bets")
    service.provider.list_bodies["/odds/bets"] = list_body(BETS, entries[: len(entries) * 8 // 10])
    done = service.run("sync", "bets", "--json", **service.environment())
    assert done.code == 1
    assert "of the 88 listed bets" in done.stderr
    assert "of the 88 listed bets" in str(states(service)["bets"][1])
    forced = sync(service, "bets", "--force")
    assert forced["counts"]["bets"]["delisted"] == 18  # type: ignore[index]


def test_every_sync_waits_for_the_same_lock(service: Service) -> None:
    from oddins_pipeline.database.lock import lock_id

    with __import__("psycopg").connect(service.database) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
        assert service.run("sync", "bets", **service.environment()).code == 75
    assert service.provider.requests == []


def test_the_sample_provider_plays_a_lists_faults_within_a_sync(service: Service) -> None:
    given = {"DATABASE_URL": service.database, "ODDINS_HTTP_ATTEMPTS": "1"}
    before = service.run("sync", "bookmakers", "--sample", "--json", **given)
    assert before.code == 0, before.stderr
    for fault, sentence in (
        ("shrunk", "28 of the 32 listed bookmakers"),
        ("other-get", "is to another request"),
        ("bets=suspended", None),
    ):
        done = service.run("sync", "bookmakers", "--sample", "--json", "--fault", fault, **given)
        assert done.code == (1 if sentence else 0), done.stderr
        assert (sentence or "") in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--fault", "reset"), "add --sample"),
        (("--sample", "--fault", "rest"), "unknown fault rest; known are ok, no-key"),
        (
            ("--sample", "--fault", "teams=reset"),
            "unknown list teams; known are leagues, bookmakers",
        ),
    ],
)
def test_a_fault_that_cannot_be_played_is_a_wrong_option(
    service: Service, options: tuple[str, ...], sentence: str
) -> None:
    done = service.run("sync", "bets", *options, **service.environment())
    assert done.code == 2
    assert sentence in done.stderr
