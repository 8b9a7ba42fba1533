"""Every expected failure, by cause.

OddinsError
├── UsageError                  wrong arguments or environment, found before any connection
├── LockHeldError               another sync holds the advisory lock
├── InterruptedSyncError        Ctrl-C, SIGTERM, SIGHUP or a cancelled run
├── RunFailedError              the run failed for a reason that is none of these
├── LaunchError                 Dagster could not start the run
├── DatabaseError               unreachable, lost connection, statement refused
│   ├── SchemaError             wrong encoding, wrong revision, missing rights
│   └── EmbeddedServerError     the embedded server did not start
├── NothingToPublishError       the archive holds no response that may be published
├── PostponedError              background requests are blocked for now
├── NoSeasonError               a backfill was started without a season
├── SourceMismatchError         the database was filled by another source
├── NotInCatalogError           a user named what the catalog does not have
├── WebhookError                a receiver did not accept a message
├── ProviderError               the provider gave no usable response
│   ├── RejectedKeyError        no key, key rejected
│   ├── BlockedAddressError     this host's address is blocked or not on the account's list
│   ├── WrongAddressError       API_FOOTBALL_BASE_URL is not the provider's API
│   ├── SuspendedError          account suspended
│   ├── PlanError               season or parameter outside the plan
│   ├── QuotaError              daily request quota exhausted
│   ├── SubscriptionError       the subscription has lapsed
│   ├── RateLimitError          the minute's requests are used up
│   ├── BadRequestError         the provider rejects a parameter
│   ├── ProviderFaultError      5xx, 499, `errors.bug`, redirects
│   ├── UnknownProviderError    an error that this client does not know
│   ├── TransportError          timeout, reset, truncated, not JSON
│   └── MalformedResponseError  too large, without an envelope, or with the key in it
└── ResponseRejectedError       the response is archived and rejected

`str(error)` is one sentence: the cause, then the hint. A class knows its `code` (as recorded in
`provider_requests.outcome`, logs and notifications), its `hint`, whether it is `retryable` soon,
and its `scope`: what it says something about. Every other set of errors derives from these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

Scope = Literal["account", "request", "local"]
"""`account`: any further request would fail alike; `request`: only this request; `local`: no
request was sent and no attempt is used up.
"""


class OddinsError(Exception):
    """Base of every expected failure; `writes_nothing` when it is certain that the catalog stands
    as before.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    scope: ClassVar[Scope] = "account"
    writes_nothing: ClassVar[bool] = False


class UsageError(OddinsError):
    """Wrong arguments or environment; names every fault at once, with its fix."""

    code = "configuration"
    exit_code = 2


class LockHeldError(OddinsError):
    """Another sync holds the advisory lock; nothing was fetched, written or recorded."""

    code = "lock_held"
    exit_code = 75
    retryable = True
    scope = "local"


class InterruptedSyncError(OddinsError):
    """A user or the orchestrator ended the sync before it was done."""

    code = "interrupted"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the sync was interrupted (Ctrl-C, SIGTERM, SIGHUP or a cancelled run)")


class RunFailedError(OddinsError):
    """The run failed for a reason that is no OddinsError: see the run's log."""


class LaunchError(OddinsError):
    """Dagster could not start the run: its launch was refused, or took too long."""

    code = "launch"
    retryable = True
    scope = "local"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the run never started: {cause}")


class DatabaseError(OddinsError):
    """The database cannot be reached or refused a statement."""

    code = "database"
    retryable = True


class SchemaError(DatabaseError):
    """The database's revision, encoding or rights are not what this code needs."""

    code = "schema"
    retryable = False


class EmbeddedServerError(DatabaseError):
    """The embedded server did not start; the sentence names its log and the fix."""


class NothingToPublishError(OddinsError):
    """The archive holds no response that may be published."""

    code = "nothing_to_publish"


class PostponedError(OddinsError):
    """Background requests (backfill, catch-up) are blocked for now; nothing was fetched."""

    code = "postponed"
    retryable = True
    scope = "local"


class NoSeasonError(OddinsError):
    """A backfill was started without a season; nothing was fetched."""

    code = "no_season"
    scope = "local"


class NotInCatalogError(OddinsError):
    """A user named what the catalog does not have; no request was sent."""

    code = "not_in_catalog"
    scope = "local"


class WebhookError(OddinsError):
    """A receiver did not accept a message; `status` is its response's, if there was one."""

    code = "webhook"

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class SourceMismatchError(OddinsError):
    """The response comes from another source than the one that filled this database."""

    code = "source_mismatch"


class ProviderError(OddinsError):
    """The provider gave no usable response: the sentence is the cause, then the hint.

    `retry_after` is in seconds, when the provider said how long to wait.
    """

    writes_nothing = True

    code = "provider"
    hint: ClassVar[str] = "see `oddins doctor`"

    def __init__(
        self, cause: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{cause}; {hint or self.hint}")
        self.cause = cause
        self.retry_after = retry_after


class RejectedKeyError(ProviderError):
    """No key, or a rejected key."""

    code = "rejected_key"
    hint = "do not retry; check SPORTS_PROVIDER_API_KEY"


class BlockedAddressError(ProviderError):
    """The firewall blocks this host's address, or it is not on the account's list."""

    code = "blocked_address"
    hint = "do not retry; ask the provider to unblock it, or use another address"


class WrongAddressError(ProviderError):
    """What responded is not the provider's API, or not at this path."""

    code = "wrong_address"
    hint = "do not retry; check API_FOOTBALL_BASE_URL"


class SuspendedError(ProviderError):
    """The account is suspended."""

    code = "suspended"
    hint = "do not retry; resolve it in the provider's dashboard"


class PlanError(ProviderError):
    """The plan does not cover the season or the parameter."""

    code = "plan"
    hint = "do not retry; choose another season or parameter, or upgrade the plan"
    scope = "request"


class QuotaError(ProviderError):
    """The daily request quota is exhausted."""

    code = "quota"
    hint = "it resets at 00:00 UTC. Wait, or upgrade the plan"


class SubscriptionError(ProviderError):
    """The subscription has lapsed."""

    code = "subscription"
    hint = "do not retry; renew it in the provider's dashboard"


class RateLimitError(ProviderError):
    """The minute's requests are used up."""

    code = "rate_limit"
    hint = "retry in a minute, and look for another user of the same key"
    retryable = True


class BadRequestError(ProviderError):
    """The provider rejects a parameter."""

    code = "bad_request"
    hint = "do not retry; change the parameter, or report it if it was right"
    scope = "request"


class ProviderFaultError(ProviderError):
    """The provider's own failure, which a later attempt may not meet."""

    code = "provider_fault"
    hint = "retry later"
    retryable = True


class UnknownProviderError(ProviderError):
    """An error that this client does not know: not retried, quoted."""

    code = "unknown_error"
    hint = "check the provider's dashboard and status page before retrying"


class TransportError(ProviderError):
    """Timeout, reset, truncated or unreadable body."""

    code = "transport_fault"
    hint = "retry later, and check the network and API_FOOTBALL_BASE_URL"
    retryable = True


class MalformedResponseError(ProviderError):
    """A body that is no response and is not archived."""

    code = "malformed"
    hint = "nothing was written; retry later, and report it if it persists"


RefusalCode = Literal["envelope", "mismatched", "empty", "shrunken", "quarantine"]
"""Why a response is rejected: its envelope is broken, it is to another request, it holds
nothing, too little, or too much that is malformed.
"""

FORCEABLE: frozenset[RefusalCode] = frozenset({"shrunken", "quarantine"})
"""Refusals that `--force` overrides; no other response is ever published."""

FORCE_HINT = (
    "if that is right, --force asks the provider again and accepts it, and --replay --force"
    " publishes the archived response"
)


class ResponseRejectedError(OddinsError):
    """The response is archived and rejected; no table was changed."""

    code = "refused"
    scope = "request"
    writes_nothing = True

    def __init__(self, message: str, *, refusal_code: RefusalCode) -> None:
        super().__init__(message)
        self.refusal_code = refusal_code


def subclasses(base: type[OddinsError] = OddinsError) -> Iterator[type[OddinsError]]:
    """`base` and every class below it."""
    yield base
    for child in base.__subclasses__():
        yield from subclasses(child)


_PROVIDER = tuple(subclasses(ProviderError))[1:]

RETRIED = tuple(error for error in _PROVIDER if error.retryable)
"""What the client retries."""

FINAL = frozenset(error.code for error in _PROVIDER if not error.retryable)
"""Codes after which further requests do not help."""

OF_THE_REQUEST = frozenset(error.code for error in subclasses() if error.scope == "request")
"""Codes caused by the request's own filter or response; other requests may still succeed."""

NO_ATTEMPT = frozenset(error.code for error in subclasses() if error.scope == "local")
"""Codes of runs that sent no request: no attempt is used up."""

UNRECORDED = NO_ATTEMPT - {LaunchError.code}
"""Those among them after which nothing has failed."""
