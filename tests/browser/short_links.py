"""The service as it is, but for image URLs that live for seconds: no setting goes below a minute."""

import dataclasses
from datetime import timedelta

from fastapi import FastAPI

from platevault.app.commands import vault_from_environment
from platevault.app.vault import LinkRules
from platevault.web.app import build_app

VALID_FOR = timedelta(seconds=2)
COMMAND = ("-m", "uvicorn", "tests.browser.short_links:build", "--factory", "--log-level", "warning")


def build() -> FastAPI:
    """What uvicorn serves."""
    return build_app(dataclasses.replace(vault_from_environment(), links=LinkRules(valid_for=VALID_FOR)))
