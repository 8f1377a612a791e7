"""The routes that collectors use: what comes in."""

from platevault.web.api.ingest import batch_status as batch_states
from platevault.web.api.ingest import batches, limits, resend, uploads

routers = (batches.router, batch_states.router, resend.router, uploads.router, limits.router)
