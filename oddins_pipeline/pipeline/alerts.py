"""What a person should hear of without looking: when the subscription ends."""

from contextlib import suppress

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import Target
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.requests import load_subscription, requested_within_a_day
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.pipeline.sync import ask_account


def subscription_warning(
    connection: Connection, settings: Settings, target: Target, *, may_ask: bool
) -> str | None:
    """The sentence to tell of a subscription that ends; None when all is well, or not known.

    With somebody to tell, `/status`, which is free, is asked once a day.
    """
    wanted = settings.webhook_url is not None and settings.api_key is not None
    if (
        wanted
        and may_ask
        and not target.sample
        and not requested_within_a_day(connection, "/status")
    ):
        # Its row in provider_requests says what became of it, and tomorrow is a day, too.
        with suppress(ProviderError):
            ask_account(settings, connection, timeout=5)
    known = load_subscription(connection)
    return warning(known[0], days=settings.subscription_warning_days) if known else None
