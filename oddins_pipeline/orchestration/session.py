"""Resources: `sync_session` (the run's lock and connection) and `api_football`.

Both read the settings when a run starts and hold no secret as a field. A set-up that fails
yields a session that refuses: its first use in a step fails with one sentence, because an
exception in a resource's set-up would be a RUN_EXCEPTION with two traces, repeated by retries.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dagster as dg

from oddins_pipeline.config.settings import load_settings
from oddins_pipeline.config.target import choose_target
from oddins_pipeline.errors import InterruptedSyncError, OddinsError
from oddins_pipeline.logs import register_secrets, set_run
from oddins_pipeline.orchestration.failures import step_failure, to_dagster_failure
from oddins_pipeline.orchestration.runs import entity_of, fail_orphaned_runs
from oddins_pipeline.pipeline.backfill_policy import FREE
from oddins_pipeline.pipeline.failure_recorder import record_failure
from oddins_pipeline.pipeline.sync import Archived, Publication, Session, open_session
from oddins_pipeline.provider.client import ApiFootball, LeaguesResponse

logger = logging.getLogger(__name__)


class RunSession:
    """What the steps of one run share: the session, or why there is none."""

    def __init__(self, session: Session | None, refusal: OddinsError | None = None) -> None:
        self._session = session
        self._refusal = refusal
        self.archived: Archived | None = None
        self.publication: Publication | None = None
        self.counts: dict[str, Any] | None = None
        self.publish_seconds = 0.0
        self.answer: LeaguesResponse | None = None

    @property
    def session(self) -> Session:
        """The session. Raises dg.Failure with the reason when there is none."""
        if self._refusal is not None:
            raise to_dagster_failure(self._refusal) from None
        assert self._session is not None
        return self._session


@dg.resource(
    config_schema={
        "lock_timeout": dg.Field(
            float,
            is_required=False,
            description="Seconds to wait for the lock before giving up; by default"
            " ODDINS_LOCK_TIMEOUT.",
        )
    },
    description="The run's advisory lock and the one connection that it writes with.",
)
def sync_session(context: dg.InitResourceContext) -> Iterator[RunSession]:
    """Opens the session for the length of a run and records the run's failure at its end."""
    assert context.run is not None
    assert context.instance is not None
    instance, run_id = context.instance, context.run.run_id
    set_run(run_id)
    entity = entity_of(context.run)
    with ExitStack() as stack:
        settings = target = None
        try:
            settings = load_settings()
            register_secrets(settings.secrets)
            target = choose_target(settings)
            wait = context.resource_config.get("lock_timeout", settings.lock_timeout)
            session = stack.enter_context(
                open_session(settings, target, run_id=run_id, lock_timeout=wait)
            )
            run = RunSession(session)
            fail_orphaned_runs(instance, session.connection, settings, target)
        except OddinsError as error:
            run = RunSession(None, error)
        except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
            # No step has begun whose failure could tell.
            stack.close()
            if settings is not None and target is not None:
                told = InterruptedSyncError()
                record_failure(
                    settings,
                    target,
                    str(told),
                    entity=entity,
                    run_id=run_id,
                    outcome=told.outcome,
                )
            raise
        yield run
        stack.close()
        failed = step_failure(instance, run_id)
        if failed and failed.outcome not in FREE and settings is not None and target is not None:
            record_failure(
                settings,
                target,
                failed.message,
                entity=entity,
                run_id=run_id,
                outcome=failed.outcome,
                at=failed.at,
            )


def given_session(run: RunSession) -> dg.ResourceDefinition:
    """A resource over a session that is open already: the command line's."""
    return dg.ResourceDefinition.hardcoded_resource(run)


@dg.resource(
    required_resource_keys={"sync_session"},
    description="API-Football, or the sample provider; opened at the first request.",
)
def api_football(context: dg.InitResourceContext) -> Iterator[Callable[[], ApiFootball]]:
    """Yields a function that opens the client once; closed with the run."""
    run: RunSession = context.resources.sync_session
    with ExitStack() as stack:
        opened: list[ApiFootball] = []

        def client() -> ApiFootball:
            if not opened:
                opened.append(stack.enter_context(run.session.provider()))
            return opened[0]

        yield client
