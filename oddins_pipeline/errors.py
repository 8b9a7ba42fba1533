"""Everything that can go wrong, by cause.

OddinsError
├── UsageError                wrong arguments or environment: seen before any connection (exit 2)
├── LockHeldError             another sync is at work (exit 75)
├── DatabaseError             unreachable, wrong encoding, wrong revision, lost connection
├── NothingToPublishError     no answer in the archive that could be published
├── PostponedError            optional work that must not spend quota now
├── InterruptedSyncError      Ctrl-C, SIGTERM or a cancelled run
├── NoSeasonError             a backfill that was started without a season
├── ProviderError             the provider did not give an answer
│   ├── RejectedKeyError      no key, key rejected, address not allowed
│   ├── SuspendedError        account suspended
│   ├── PlanError             season or parameter outside the plan
│   ├── QuotaError            the day's requests are spent
│   ├── SubscriptionError     the subscription has lapsed
│   ├── RateLimitError        the minute's requests are spent
│   ├── BadRequestError       a parameter that the provider refuses
│   ├── ProviderFaultError    5xx, 499, `errors.bug`, redirects
│   ├── UnknownProviderError  an error that this client does not know
│   ├── TransportError        timeout, reset, truncated, not JSON
│   └── MalformedResponseError  an envelope that cannot be right
└── ResponseRejectedError        the guard does not trust the answer

Each carries one plain sentence (`str(error)`), the `outcome` under which it is recorded, and
whether trying again soon may help (`passing`).
"""

from __future__ import annotations

from typing import ClassVar


class OddinsError(Exception):
    """Base of every expected failure: `str(error)` is the sentence that a person reads."""

    outcome: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class UsageError(OddinsError):
    """Wrong arguments or environment; names every fault at once, with its remedy."""

    outcome = "configuration"
    exit_code = 2


class LockHeldError(OddinsError):
    """Another sync holds the advisory lock; nothing was fetched, written or recorded."""

    outcome = "lock_held"
    exit_code = 75
    retryable = True


class InterruptedSyncError(OddinsError):
    """Somebody ended the sync before it was done."""

    outcome = "interrupted"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the sync was interrupted (Ctrl-C, SIGTERM or a cancelled run)")


class DatabaseError(OddinsError):
    """The database cannot be reached or is not what this code needs."""

    outcome = "database"
    retryable = True


class SchemaError(DatabaseError):
    """The database's revision or encoding is not what this code needs."""

    outcome = "schema"
    retryable = False


class NothingToPublishError(OddinsError):
    """The archive holds no answer that could be published."""

    outcome = "nothing_to_publish"


class PostponedError(OddinsError):
    """Optional work (a backfill, a catch-up) that must wait; nothing was fetched."""

    outcome = "postponed"
    retryable = True


class NoSeasonError(OddinsError):
    """A backfill was started without a season; nothing was fetched."""

    outcome = "no_season"


class SourceMismatchError(OddinsError):
    """The answer comes from another source than the one that filled this database."""

    outcome = "source_mismatch"


class ProviderError(OddinsError):
    """The provider gave no usable answer: the sentence is the cause, then the remedy.

    `retry_after` is in seconds, when the provider said how long to wait.
    """

    outcome = "provider"
    remedy: ClassVar[str] = "see `oddins doctor`"

    def __init__(
        self, cause: str, *, remedy: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{cause}; {remedy or self.remedy}")
        self.cause = cause
        self.retry_after = retry_after


class RejectedKeyError(ProviderError):
    """No key, a rejected key, or an address that is not on the account's list."""

    outcome = "rejected_key"
    remedy = "waiting does not help: check SPORTS_PROVIDER_API_KEY"


class SuspendedError(ProviderError):
    """The account is suspended."""

    outcome = "suspended"
    remedy = "waiting does not help, nor do further calls: resolve it in the provider's dashboard"


class PlanError(ProviderError):
    """The plan does not cover the season or the parameter."""

    outcome = "plan"
    remedy = "waiting does not help: choose another season or parameter, or a larger plan"


class QuotaError(ProviderError):
    """The day's requests are spent."""

    outcome = "quota"
    remedy = "wait until 00:00 UTC, when they are given anew, or enlarge the plan"


class SubscriptionError(ProviderError):
    """The subscription has lapsed."""

    outcome = "subscription"
    remedy = "waiting does not help: renew it in the provider's dashboard"


class RateLimitError(ProviderError):
    """The minute's requests are spent."""

    outcome = "rate_limit"
    remedy = "try again in a minute, and look for another user of the same key"
    retryable = True


class BadRequestError(ProviderError):
    """The provider refuses a parameter."""

    outcome = "bad_request"
    remedy = "waiting does not help: ask for something else, or report it if that was right"


class ProviderFaultError(ProviderError):
    """The provider's own failure that a later attempt may not meet."""

    outcome = "provider_fault"
    remedy = "try again later"
    retryable = True


class UnknownProviderError(ProviderError):
    """An error that this client does not know: not repeated, quoted."""

    outcome = "unknown_error"
    remedy = "look into the provider's dashboard and at its status page before trying again"


class TransportError(ProviderError):
    """Timeout, reset, truncated or unreadable body."""

    outcome = "transport_fault"
    remedy = "try again later, and check the network and API_FOOTBALL_BASE_URL"
    retryable = True


class MalformedResponseError(ProviderError):
    """A body or envelope that cannot be a whole answer."""

    outcome = "malformed"
    remedy = "nothing was written; try again later, and report it if it stays so"


class ResponseRejectedError(OddinsError):
    """The guard does not trust the answer; nothing was written."""

    outcome = "refused"
