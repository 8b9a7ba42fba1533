"""Runs of leagues, bookmakers and bets together: every response carries its turn in each row."""

from __future__ import annotations

import json
import zlib

import psycopg

from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.kills import (
    assert_events_truthful,
    content_now,
    content_of,
    other,
)
from oddins_pipeline_tests.support.lists import list_body
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service

EVERYTHING = (
    *("-m", "dagster", "asset", "materialize", "--select", "*"),
    *("-m", "oddins_pipeline.definitions"),
)
NEWEST = (
    "SELECT body FROM provider_payloads WHERE entity = %s AND published_at IS NOT NULL"
    " ORDER BY published_at DESC, id DESC LIMIT 1"
)
CHANGES_AFTER_COMMIT = (
    "SELECT count(*) FROM catalog_changes c JOIN provider_payloads p ON p.id = payload_id"
    " WHERE p.published_at IS NULL"
)


def serve_everything(service: Service, turn: int) -> None:
    """Makes the provider send the responses of this turn."""
    serve(service, other(generate_leagues(0.2), turn))
    for spec in LISTS:
        entries = service.provider.lists[spec.path]
        named = [{"id": one["id"], "name": f"{one['name']} {turn}"} for one in entries]
        service.provider.list_bodies[spec.path] = list_body(spec, named[turn % 2 :])


def assert_everything_whole(service: Service) -> list[int]:
    """Each entity shows its newest published response, whole; their turns."""
    turns = [_leagues_turn(service), *(_list_turn(service, spec.name) for spec in LISTS)]
    assert_events_truthful(service)
    assert service.query(CHANGES_AFTER_COMMIT) == [(0,)], "a change of an unpublished response"
    return turns


def archived_since(service: Service, before: int) -> int:
    """How many responses were archived after that payload."""
    ((found,),) = service.query("SELECT count(*) FROM provider_payloads WHERE id > %s", before)
    return int(found)


def _newest(service: Service, entity: str) -> list[dict[str, object]]:
    ((body,),) = service.query(NEWEST, entity)
    found: list[dict[str, object]] = json.loads(zlib.decompress(body))["response"]
    return found


def _leagues_turn(service: Service) -> int:
    shown = content_now(service)
    assert shown == content_of(_newest(service, "leagues_seasons"))
    (turn,) = {str(league.logo_url).rpartition("/")[2].removesuffix(".png") for league in shown[1]}
    return int(turn)


def _list_turn(service: Service, name: str) -> int:
    key = f"provider_{name.removesuffix('s')}_id"
    with psycopg.connect(service.database) as connection:
        statement = f"SELECT {key}, name FROM {name} WHERE delisted_at IS NULL"
        shown: dict[int, str] = dict(connection.execute(statement).fetchall())
    assert shown == {one["id"]: one["name"] for one in _newest(service, name)}
    (turn,) = {name.rpartition(" ")[2] for name in shown.values()}
    return int(turn)
