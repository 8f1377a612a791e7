"""Who is asking, and how far that reaches."""

from dataclasses import dataclass
from enum import StrEnum

from platevault.domain.errors import Forbidden


class Scope(StrEnum):
    """What a credential allows."""

    DETECTIONS_WRITE = "detections:write"
    DETECTIONS_READ = "detections:read"
    IMAGES_READ = "images:read"
    HOLDS_WRITE = "holds:write"
    DETECTIONS_DELETE = "detections:delete"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"


COLLECTOR_SCOPES = frozenset({Scope.DETECTIONS_WRITE})
VIEWER_SCOPES = frozenset({Scope.DETECTIONS_READ, Scope.IMAGES_READ, Scope.HOLDS_WRITE})
ADMIN_SCOPES = VIEWER_SCOPES | {Scope.DETECTIONS_DELETE, Scope.ADMIN}
METRICS_SCOPES = frozenset({Scope.METRICS_READ})


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody with a credential. `collector_id`, where set, is the only collector that it may write for."""

    subject: str
    kind: str
    scopes: frozenset[Scope]
    collector_id: str | None = None

    def must(self, scope: Scope) -> None:
        """Return when the scope is there; raise `Forbidden` naming it otherwise."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope.value}, which {self.subject} does not have")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Why somebody looks: what `X-Purpose` and `X-Case` said, and the request that it belongs to."""

    actor: Actor
    route: str
    request_id: str
    purpose: str | None = None
    case: str | None = None
