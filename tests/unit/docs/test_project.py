"""What stands around the code agrees with it: version, change log, hooks and workflows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from aq_platform.cli import app

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_aq_says_its_version() -> None:
    answer = CliRunner().invoke(app, ["--version"])
    assert (answer.exit_code, answer.output) == (0, f"aq {PROJECT['version']}\n")


def test_the_change_log_knows_the_version() -> None:
    headings = re.findall(
        r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$",
        (ROOT / "CHANGELOG.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert headings[:2] == ["Unreleased", PROJECT["version"]]


def test_the_licence_is_the_one_that_is_named() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / PROJECT["license-files"][0]).read_text("utf-8")


def test_locks_name_no_index() -> None:
    for lock in [*ROOT.glob("*.lock"), *ROOT.glob("deploy/*.lock")]:
        assert "://" not in lock.read_text("utf-8"), lock.name


def test_mlflows_server_has_the_version_of_its_client() -> None:
    """They share the tables of a SQLite file."""
    locks = (ROOT / "requirements-dev.lock", ROOT / "deploy" / "mlflow.lock")
    client, server = (
        re.search(r"^mlflow-skinny==(\S+)", lock.read_text("utf-8"), re.MULTILINE) for lock in locks
    )
    assert client
    assert server
    assert client[1] == server[1]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_targets_that_there_are_with_few_rights(path: Path) -> None:
    text = path.read_text("utf-8")
    workflow = yaml.safe_load(text)
    called = set(re.findall(r"^ +- run: make ([a-z-]+)", text, re.MULTILINE))
    assert called
    assert called <= TARGETS
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"]
        for step in job["steps"]:
            if "uses" in step:
                assert re.search(r"@[0-9a-f]{40}$", step["uses"])


@pytest.mark.parametrize(
    ("subject", "taken"),
    [
        ("feat(quality): a test is a function", True),
        ("fix(http)!: a redirect carries no credential", True),
        ("Merge branch 'main' into x", True),
        ("A subject without a scope", False),
        ("fix: no scope", False),
        ("fix(http): ", False),
        ("docs(docs): " + "a" * 80, False),
    ],
)
def test_subjects_of_commits(subject: str, taken: bool) -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    [hook] = [hook for hook in config["repos"][0]["hooks"] if hook["id"] == "commit-subject"]
    pattern = re.compile(hook["entry"], re.MULTILINE | re.DOTALL)
    assert bool(pattern.search(f"{subject}\n\nfix(body): text")) is taken
