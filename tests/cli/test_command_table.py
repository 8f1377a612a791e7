"""The table of commands agrees with the commands."""

import pytest
from typer.testing import CliRunner

from platevault.cli import app
from platevault.cli.command_table import COMMANDS, LazyCommand


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_the_line_in_the_list_begins_the_help_of_the_command(command: LazyCommand) -> None:
    loaded = command.load()
    assert loaded.name == command.name
    assert " ".join(loaded.help.split()).startswith(command.summary)


def test_a_command_is_found_with_its_options_and_its_own_commands() -> None:
    shown = CliRunner().invoke(app, ["retention", "set", "-h"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "--never-ends" in shown.output


def test_a_command_that_is_misspelt_is_refused_with_the_nearest_one() -> None:
    refused = CliRunner().invoke(app, ["retentoin"])
    assert refused.exit_code == 2
    assert "retention" in refused.output
