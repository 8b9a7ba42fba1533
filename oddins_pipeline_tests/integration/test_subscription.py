"""The subscription: users are warned before it ends, and its personal part is never stored."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from oddins_pipeline_tests.support.service import Service


def test_doctor_and_status_warn_and_no_request_is_used(service: Service) -> None:
    ends = datetime.now(timezone.utc) + timedelta(days=5, hours=1)
    service.provider.subscription_ends = ends.isoformat()
    doctor = service.run("doctor", **service.environment())
    assert doctor.code == 1
    assert f"FAIL  key: the provider's subscription ends in 5 days, on {ends:%Y-%m-%d}" in (
        doctor.stdout
    )
    status = service.run("status", **service.environment())
    assert status.code == 0
    assert "warning: the provider's subscription ends in 5 days" in status.stdout
    assert [path for _, path, _ in service.provider.requests] == ["/status"]
    assert service.provider.day_remaining == service.provider.day_limit
    kept = service.query("SELECT p::text FROM provider_subscription p")[0][0]
    for personal in ("a@example.test", "Account"):
        assert personal not in kept + doctor.stdout + doctor.stderr + status.stdout
