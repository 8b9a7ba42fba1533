"""A free account (10 requests a minute, 100 a day), every season wanted at once, a sync each
minute, people who sync by hand, and death for whatever is running.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import psycopg
import pytest

from oddins_pipeline.catalog.season_range import FIRST_SEASON, last_season
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support.daemon import wait_for
from oddins_pipeline_tests.support.kills import Victim, content_now, content_of, wait_until_free
from oddins_pipeline_tests.support.service import Service
from oddins_pipeline_tests.support.services import Services, running_services

pytestmark = pytest.mark.soak
SEED = int(os.environ.get("ODDINS_SOAK_SEED", "7"))
MINUTE_LIMIT, DAY_LIMIT, LEFT = 10, 100, 30
WITNESS = """
CREATE TABLE witness (transaction xid8 NOT NULL, seen_at timestamptz NOT NULL);
CREATE FUNCTION be_witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness VALUES (pg_current_xact_id(), clock_timestamp());
    RETURN NULL; END $$;
"""
TABLES = ("countries", "leagues", "seasons", "season_coverage", "catalog_changes")
STATUS = "SELECT status, count(*) FROM backfill_requests GROUP BY 1"


@pytest.fixture
def provider() -> Iterator[SampleProvider]:
    """A free account that has used most of its day."""
    with SampleProvider(0.2, day_limit=DAY_LIMIT, minute_limit=MINUTE_LIMIT) as running:
        running.day_remaining = LEFT
        yield running


@pytest.fixture
def services(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    home = tmp_path / "dagster_home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with psycopg.connect(service.database) as connection:
        connection.execute(WITNESS)
        for table in TABLES:
            connection.execute(
                f"CREATE TRIGGER be_witness AFTER INSERT OR UPDATE OR DELETE ON {table}"
                " EXECUTE FUNCTION be_witness()"
            )
    with running_services(service, home, ODDINS_SYNC_CRON="* * * * *") as running:
        yield running


def deal_death(services: Services, chance: random.Random) -> str:
    """Kills a run, a service, or one of eight that start together; says what was killed."""
    what = chance.choice(["run", "run", "daemon", "code server", "starters"])
    if what == "run":
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            with suppress(psutil.NoSuchProcess, ValueError):
                worker = services.worker()
                time.sleep(chance.random() / 2)
                worker.kill()
                return "run running"
            time.sleep(0.05)
        return "nothing: no run was running"
    if what == "starters":
        victims = [Victim(services.service, services.home) for _ in range(8)]
        time.sleep(chance.random() * 8)
        victims[0].process.kill()
        codes = [(victim.end(), victim.process.returncode)[1] for victim in victims]
        assert set(codes) <= {0, 1, 75, -9}, codes
        return "one of eight starters"
    services.kill(what, with_children=chance.random() < 0.5)
    services.start(what)
    return what


def statuses(services: Services) -> dict[str, int]:
    return dict(services.service.query(STATUS))


def day_is_used(services: Services) -> bool:
    return services.service.provider.day_remaining < DAY_LIMIT // 10


def seasons_asked(services: Services) -> int:
    return sum("season" in query for _, _, query in services.service.provider.requests)


def test_a_free_account_gets_every_season_and_oversteps_nothing(
    services: Services, record_property: Callable[..., None]
) -> None:
    service, chance, dealt = services.service, random.Random(SEED), Counter[str]()
    wanted = f"{FIRST_SEASON}..{last_season()}"
    assert service.run("backfill", wanted, **service.environment()).code == 0
    number = last_season() - FIRST_SEASON + 1
    assert statuses(services) == {"requested": number}

    deadline = time.monotonic() + 900
    while not day_is_used(services):
        assert time.monotonic() < deadline
        time.sleep(chance.uniform(5, 30))
        dealt[deal_death(services, chance)] += 1
    time.sleep(30)  # what had been started
    asked, open_ones = seasons_asked(services), number - statuses(services).get("done", 0)
    assert open_ones > 0
    time.sleep(60)
    assert seasons_asked(services) == asked, "background requests waits for the next day"
    assert number - statuses(services).get("done", 0) == open_ones

    service.provider.day_remaining = DAY_LIMIT
    service.query("UPDATE provider_requests SET day_remaining = NULL RETURNING 1")
    while statuses(services) != {"done": number}:
        assert time.monotonic() < deadline + 900, statuses(services)
        time.sleep(chance.uniform(5, 30))
        dealt[deal_death(services, chance)] += 1

    wait_until_free(service, 60)
    wait_for(
        lambda: service.query("SELECT 1 FROM dagster.runs WHERE status = 'STARTED'") == [],
        seconds=120,
        what="no run is left standing as started",
    )
    assert content_now(service) == content_of(service.provider.entries)
    moments = [at for at, path, _ in service.provider.requests if path == "/leagues"]
    busiest = max(sum(at <= other < at + 60 for other in moments) for at in moments)
    reported = service.query("SELECT outcome FROM provider_requests WHERE path = '/leagues'")
    outcomes = Counter(row[0] for row in reported)
    assert busiest <= MINUTE_LIMIT
    assert not {"rate_limit", "quota"} & set(outcomes)
    assert len(moments) == sum(outcomes.values()), "each request is in the log"
    writes = service.query(
        "SELECT min(seen_at), max(seen_at) FROM witness GROUP BY transaction ORDER BY 1"
    )
    assert all(before[1] < after[0] for before, after in pairwise(writes)), "two wrote at once"
    attempts = service.query("SELECT max(attempts), sum(attempts) FROM backfill_requests")
    record_property(
        "free account",
        f"killed {dict(sorted(dealt.items()))}; {len(moments)} requests, at most"
        f" {busiest} a minute, outcomes {dict(outcomes)}; {len(writes)} writing transactions, none"
        f" at once; most and all attempts of {number} seasons {attempts[0]}",
    )
