"""The routes that collectors use: what comes in."""

from platevault.web.api import batches, limits, resend, uploads

routers = (batches.router, resend.router, uploads.router, limits.router)
