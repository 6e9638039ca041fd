"""Who calls: tenant, subject and scopes, from metadata that Envoy set after it verified the caller's key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from uait.error.v1 import error_pb2
from uait_kit._status import StatusError

__all__ = ["SCOPES_KEY", "SUBJECT_KEY", "TENANT_KEY", "Identity", "read_identity"]

TENANT_KEY = "x-uait-tenant"
SUBJECT_KEY = "x-uait-subject"
SCOPES_KEY = "x-uait-scopes"

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MAX_SUBJECT = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose behalf a call or an event is handled.

    Attributes:
        tenant: The tenant, `[a-z0-9][a-z0-9-]{0,62}`; empty only in services that were declared tenantless.
        subject: The person or program within the tenant, at most 256 characters; empty when not told.
        scopes: What the caller may do, in the order sent.
    """

    tenant: str
    subject: str = ""
    scopes: tuple[str, ...] = ()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the request metadata that carries this identity to the next hop."""
        pairs = ((TENANT_KEY, self.tenant), (SUBJECT_KEY, self.subject), (SCOPES_KEY, " ".join(self.scopes)))
        return tuple(pair for pair in pairs if pair[1])


def read_identity(metadata: Mapping[str, str], *, tenantless: bool) -> Identity:
    """Reads the identity of a call.

    Args:
        metadata: Request metadata, one value a key.
        tenantless: Whether the service takes calls without a tenant.

    Raises:
        StatusError: No valid tenant (TENANT_MISSING), or a subject that is too long (KEY_INVALID).
    """
    get = metadata.get
    return _identity(get(TENANT_KEY, ""), get(SUBJECT_KEY, ""), get(SCOPES_KEY, ""), tenantless)


# The same few callers call again and again; what is refused is not kept.
@lru_cache(maxsize=1_024)
def _identity(tenant: str, subject: str, scopes: str, tenantless: bool) -> Identity:
    if not _TENANT.fullmatch(tenant):
        if not tenantless:
            raise StatusError(
                error_pb2.REASON_TENANT_MISSING,
                f"the call carries no valid tenant: {TENANT_KEY} must be [a-z0-9][a-z0-9-]{{0,62}}",
            )
        tenant = ""
    if len(subject) > _MAX_SUBJECT:
        raise StatusError(error_pb2.REASON_KEY_INVALID, f"{SUBJECT_KEY} is longer than {_MAX_SUBJECT} characters")
    return Identity(tenant, subject, tuple(scopes.split(" ")) if scopes else ())
