"""Everything that can go wrong, by cause.

OddinsError
├── UsageError                wrong arguments or environment: seen before any connection (exit 2)
├── LockHeldError             another sync is at work (exit 75)
├── DatabaseError             unreachable, wrong encoding, wrong revision, lost connection
├── NothingToPublishError     no answer in the archive that could be published
├── PostponedError            optional work that must not spend quota now
├── NoSeasonError             a backfill that was started without a season
├── ProviderError             the provider did not give an answer
│   ├── RejectedKeyError      no key, key rejected, address not allowed
│   ├── SuspendedError        account suspended
│   ├── PlanError             season or parameter outside the plan
│   ├── QuotaError            the day's requests are spent
│   ├── SubscriptionError     the subscription has lapsed
│   ├── RateLimitError        the minute's requests are spent
│   ├── BadRequestError       a parameter that the provider refuses
│   ├── ProviderFaultError    5xx, 499, `errors.bug`, redirects, unknown errors
│   ├── TransportError        timeout, reset, truncated, not JSON
│   └── MalformedAnswerError  an envelope that cannot be right
└── RefusedAnswerError        the guard does not trust the answer

Each carries one plain sentence (`str(error)`), the `outcome` under which it is recorded, and
whether waiting helps (`passing`).
"""

from __future__ import annotations

from typing import ClassVar


class OddinsError(Exception):
    """Base of every expected failure: `str(error)` is the sentence that a person reads."""

    outcome: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    passing: ClassVar[bool] = False


class UsageError(OddinsError):
    """Wrong arguments or environment; names every fault at once, with its remedy."""

    outcome = "configuration"
    exit_code = 2


class LockHeldError(OddinsError):
    """Another sync holds the advisory lock; nothing was fetched, written or recorded."""

    outcome = "lock_held"
    exit_code = 75
    passing = True


class DatabaseError(OddinsError):
    """The database cannot be reached or is not what this code needs."""

    outcome = "database"
    passing = True


class SchemaError(DatabaseError):
    """The database's revision or encoding is not what this code needs."""

    outcome = "schema"
    passing = False


class NothingToPublishError(OddinsError):
    """The archive holds no answer that could be published."""

    outcome = "nothing_to_publish"


class PostponedError(OddinsError):
    """Optional work (a backfill, a catch-up) that must wait; nothing was fetched."""

    outcome = "postponed"
    passing = True


class NoSeasonError(OddinsError):
    """A backfill was started without a season; nothing was fetched."""

    outcome = "no_season"


class SourceMismatchError(OddinsError):
    """The answer comes from another source than the one that filled this database."""

    outcome = "source_mismatch"


class ProviderError(OddinsError):
    """The provider gave no usable answer.

    `retry_after` is in seconds, when the provider said how long to wait.
    """

    outcome = "provider"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RejectedKeyError(ProviderError):
    """No key, a rejected key, or an address that is not on the account's list."""

    outcome = "rejected_key"


class SuspendedError(ProviderError):
    """The account is suspended."""

    outcome = "suspended"


class PlanError(ProviderError):
    """The plan does not cover the season or the parameter."""

    outcome = "plan"


class QuotaError(ProviderError):
    """The day's requests are spent."""

    outcome = "quota"


class SubscriptionError(ProviderError):
    """The subscription has lapsed."""

    outcome = "subscription"


class RateLimitError(ProviderError):
    """The minute's requests are spent."""

    outcome = "rate_limit"
    passing = True


class BadRequestError(ProviderError):
    """The provider refuses a parameter."""

    outcome = "bad_request"


class ProviderFaultError(ProviderError):
    """The provider's own failure that a later attempt may not meet."""

    outcome = "provider_fault"
    passing = True


class UnknownProviderError(ProviderError):
    """An error that this client does not know: not repeated, quoted."""

    outcome = "unknown_error"


class TransportError(ProviderError):
    """Timeout, reset, truncated or unreadable body."""

    outcome = "transport_fault"
    passing = True


class MalformedAnswerError(ProviderError):
    """A body or envelope that cannot be a whole answer."""

    outcome = "malformed"


class RefusedAnswerError(OddinsError):
    """The guard does not trust the answer; nothing was written."""

    outcome = "refused"
