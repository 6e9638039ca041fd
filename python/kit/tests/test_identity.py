from __future__ import annotations

import grpc
import pytest

from uait_kit import Identity, StatusError
from uait_kit._identity import read_identity


def test_identity_complete_is_read_and_goes_out_the_same() -> None:
    metadata = {"x-uait-tenant": "acme-1", "x-uait-subject": "user:7", "x-uait-scopes": "a.read b.write"}
    identity = read_identity(metadata, tenantless=False)
    assert identity == Identity("acme-1", "user:7", ("a.read", "b.write"))
    assert dict(identity.metadata()) == metadata


def test_identity_with_a_tenant_alone_has_no_scopes() -> None:
    assert read_identity({"x-uait-tenant": "a"}, tenantless=False).scopes == ()


@pytest.mark.parametrize("tenant", ["", "-a", "A", "a" * 64, "../etc", "a b", "a\n", "ä"])
def test_tenant_malformed_is_unauthenticated(tenant: str) -> None:
    with pytest.raises(StatusError) as refused:
        read_identity({"x-uait-tenant": tenant}, tenantless=False)
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED


def test_tenant_missing_in_a_tenantless_service_is_empty() -> None:
    assert read_identity({}, tenantless=True) == Identity("")


def test_subject_too_long_is_unauthenticated() -> None:
    with pytest.raises(StatusError, match="longer than 256"):
        read_identity({"x-uait-tenant": "a", "x-uait-subject": "s" * 257}, tenantless=False)
