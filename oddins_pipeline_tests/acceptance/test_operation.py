"""What the UIs for operators and the files of the deployment say is so."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import dagster as dg
import psycopg
import pytest
import yaml
from dagster_postgres.utils import get_conn_string
from sqlalchemy.engine import make_url

from oddins_pipeline.cli import cli
from oddins_pipeline.config.settings import DEVELOPMENT_PASSWORD, load_settings
from oddins_pipeline.orchestration.storage import storage_url
from oddins_pipeline_tests.support.variables import variables

PROJECT = Path(__file__).parents[2]
PAGES = {page.name: page.read_text("utf-8") for page in PROJECT.glob("docs/operation/*.md")}
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text("utf-8"))
DAGSTER: dict[str, Any] = yaml.safe_load((PROJECT / "dagster.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
NOT_GIVEN_ON = {"ODDINS_HOME", "ODDINS_SAMPLE_URL"}
"""Of one machine only: containers have neither a local state nor a sample sync."""
RENAMED = {"ODDINS_STALE_AFTER", "ODDINS_LOCK_WAIT", "ODDINS_HTTP_LONGEST_WAIT"}
"""Passed on to be reported with their new names."""


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGES[page], re.MULTILINE | re.DOTALL)
    return [str(block) for block in found]


def chart_values() -> dict[str, Any]:
    """The values for Dagster's chart: the one block that is no manifest."""
    (values,) = manifests(None)
    return values


def manifests(kind: str | None) -> list[dict[str, Any]]:
    """What is written as YAML for Kubernetes, of this kind."""
    found = [yaml.safe_load(block) for block in blocks("kubernetes.md", "yaml")]
    return [manifest for manifest in found if manifest.get("kind") == kind]


def commands() -> list[list[str]]:
    """Every command of the UIs, in words."""
    lines = [
        line.strip()
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
    ]
    return [shlex.split(line) for line in lines if line]


def after(words: list[str], name: str) -> list[str]:
    return words[words.index(name) + 1 :]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_uis_are_there_and_readme_leads_to_them(page: str) -> None:
    assert page in PAGES
    assert f"docs/operation/{page}" in (PROJECT / "README.md").read_text("utf-8")


def test_every_command_of_oddins_exists_with_its_options() -> None:
    ours = [words for words in commands() if words[0] in {"oddins", "docker-compose"}]
    used = [after(words, "oddins") for words in ours if "oddins" in words]
    used = [words for words in used if words and not words[0].startswith("-")]
    assert len(used) >= 15
    for words in used:
        command: click.Command = cli
        rest = list(words)
        while isinstance(command, click.Group):
            name = rest.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, words
            command = found
        known = {name for option in command.params for name in option.opts}
        options = rest[: rest.index("--")] if "--" in rest else rest
        assert {word for word in options if word.startswith("--")} <= known, words


def test_every_service_and_profile_that_a_page_names_is_in_the_compose_file() -> None:
    profiles = {name for service in SERVICES.values() for name in service.get("profiles", ())}
    takes_services = {"exec", "logs", "stop", "up"}
    seen = set()
    for words in commands():
        if words[0] != "docker-compose":
            continue
        if "--profile" in words:
            assert after(words, "--profile")[0] in profiles
        verb = next(word for word in words if word in {*takes_services, "ps", "build", "down"})
        if verb in takes_services:
            named = [word for word in after(words, verb) if not word.startswith("-")]
            named = named[:1] if verb == "exec" else [w for w in named if not w.isdigit()]
            assert set(named) <= set(SERVICES), words
            seen |= set(named)
    assert {"postgres", "code", "webserver", "daemon"} <= seen


def test_every_query_of_the_runbook_responses(database: str) -> None:
    queries = [after(words, "-c")[0] for words in commands() if "psql" in words and "-X" in words]
    assert len(queries) >= 5
    with psycopg.connect(database, autocommit=True) as connection:
        for query in queries:
            connection.execute(query.encode())


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    known = {variable.name for variable in variables()}
    named = set(re.findall(r"ODDINS_[A-Z_]+", " ".join(PAGES.values())))
    assert named
    assert named <= known


def test_the_containers_are_given_every_setting() -> None:
    given = set(COMPOSE["x-settings"]) | set(COMPOSE["x-environment"]) | {"ODDINS_AUTOMATION"}
    known = {variable.name for variable in variables()}
    assert given - {"PGPASSWORD"} - RENAMED == known - NOT_GIVEN_ON


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_published_password_is_refused_outside_local(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = COMPOSE["x-environment"]
    assert environment["PGPASSWORD"] == f"${{POSTGRES_PASSWORD:-{DEVELOPMENT_PASSWORD}}}"
    assert environment["APP_ENV"] == "${APP_ENV:-production}"
    monkeypatch.setenv("DATABASE_URL", environment["DATABASE_URL"])
    monkeypatch.setenv("PGPASSWORD", DEVELOPMENT_PASSWORD)
    assert DEVELOPMENT_PASSWORD in load_settings().secrets
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(Exception, match="published development password"):
        load_settings()


def test_the_values_of_the_chart_say_what_dagster_yaml_says(tmp_path: Path) -> None:
    values = chart_values()
    logs, monitoring = DAGSTER["python_logs"], DAGSTER["run_monitoring"]
    assert values["pythonLogs"] == {
        "pythonLogLevel": logs["python_log_level"],
        "managedPythonLoggers": logs["managed_python_loggers"],
        "dagsterHandlerConfig": logs["dagster_handler_config"],
    }
    daemon = values["dagsterDaemon"]
    assert daemon["runMonitoring"]["startTimeoutSeconds"] == 600  # pulling the image may take long
    for name in ("cancelTimeoutSeconds", "pollIntervalSeconds"):
        snake = re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)
        assert daemon["runMonitoring"][name] == monitoring[snake]
    coordinator = daemon["runCoordinator"]["config"]["customRunCoordinator"]
    ours = {key: DAGSTER[key] for key in ("concurrency", "run_queue")}
    assert queue(tmp_path, {"run_coordinator": coordinator}) == queue(tmp_path, ours)


def queue(home: Path, config: dict[str, Any]) -> tuple[int, int, int]:
    """What Dagster makes of the settings of its run queue."""
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), "utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        made = instance.get_concurrency_config().run_queue_config
    assert made is not None
    limit, retries = made.max_concurrent_runs, made.max_user_code_failure_retries
    return limit, retries, made.user_code_failure_retry_delay


def test_every_pod_on_kubernetes_is_restricted_and_only_code_and_runs_have_the_key() -> None:
    values = chart_values()
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    daemon, webserver = values["dagsterDaemon"], values["dagsterWebserver"]
    (cron_job,) = manifests("CronJob")
    cron = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (run,) = (words for words in commands() if words[:2] == ["kubectl", "run"])
    (overrides,) = (word for word in run if word.startswith("--overrides="))
    migration = json.loads(overrides.partition("=")[2])["spec"]
    assert "--attach" in run
    pods = (cron, migration)
    assert [pod["automountServiceAccountToken"] for pod in pods] == [False, False]
    containers = [container for pod in pods for container in pod["containers"]]
    for container in (*containers, deployment, launcher["containerConfig"], daemon, webserver):
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    database, key = {"name": "oddins-database"}, {"name": "oddins-provider"}
    assert deployment["envSecrets"] == [database, key]
    assert "envSecrets" not in {**daemon, **webserver}
    sources = [[given["secretRef"] for given in each["envFrom"]] for each in containers]
    assert sources == [[database, key], [database]]


def test_the_cron_job_runs_one_sync_by_an_existing_command() -> None:
    (job,) = manifests("CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    template = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    program, *words = template["containers"][0]["command"]
    group, name, *options = words
    assert (program, group) == ("oddins", "sync")
    with click.Context(cli) as context:
        sync = cli.get_command(context, group)
        assert isinstance(sync, click.Group)
        command = sync.get_command(context, name)
        assert command is not None
        assert command.make_context(name, options)


def test_the_network_policy_opens_the_code_servers_port_to_dagsters_services() -> None:
    (policy,) = manifests("NetworkPolicy")
    (deployment,) = chart_values()["dagster-user-deployments"]["deployments"]
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels == {"component": "user-deployments", "deployment": deployment["name"]}
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [deployment["port"]]


def test_the_chart_keeps_dagsters_records_in_the_same_tables() -> None:
    unencoded = "p/w@%:é"
    postgresql = chart_values()["postgresql"]
    chart = get_conn_string(
        username=postgresql["postgresqlUsername"],
        password=unencoded,
        hostname=postgresql["postgresqlHost"],
        db_name=postgresql["postgresqlDatabase"],
        params=postgresql["postgresqlParams"],
    )
    ours = make_url(storage_url("postgresql://oddins@db.example.com/oddins_odds"))
    expected = {k: v for k, v in ours.query.items() if k not in {"host", "application_name"}}
    assert {k: v for k, v in make_url(chart).query.items() if k in expected} == expected
    assert make_url(chart).password == unencoded
