"""The documents say what the code is: columns, variables, commands and links."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.main import get_command

from aq_platform.cli import app
from aq_resources.alert_channels import AlertSettings
from aq_resources.logs import LogSettings
from aq_resources.metrics.settings import MetricsSettings
from aq_resources.network_settings import (
    Area,
    NetworkConfig,
    StationOverride,
    read_networks,
)
from aq_resources.networks import known_networks, settings_class
from aq_resources.settings import EnvironmentSettings, Settings
from aq_resources.warehouse.ddl import sql_type
from aq_resources.warehouse.dictionary import DOCUMENTED, updated
from aq_science.quality.suite import STANDARD
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_serving.ingest.settings import IngestSettings, MqttSettings
from aq_serving.settings import ApiSettings

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands between a second-level heading and the next."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"no heading {heading!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """Every Markdown table as rows of cells, the header first."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    return [
        [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            for line in block.splitlines()
            if not re.fullmatch(r"[|\-: ]+", line)
        ]
        for block in blocks
    ]


def code(cell: str) -> str:
    return cell.strip("`")


class TestDataDictionary:
    def test_every_table_is_described_and_no_other(self) -> None:
        headings = set(re.findall(r"^## (.+)$", read("docs/data-dictionary.md"), re.MULTILINE))
        assert headings == set(DOCUMENTED)

    def test_its_tables_are_those_that_make_docs_writes(self) -> None:
        assert updated(read("docs/data-dictionary.md")) == read("docs/data-dictionary.md")

    def test_fields_of_a_candidate_are_the_declared_ones(self) -> None:
        candidates = FORECAST_MODELS.schema["candidates"]
        assert isinstance(candidates, pl.List)
        assert isinstance(candidates.inner, pl.Struct)
        fields = [(f.name, sql_type(f.dtype)) for f in candidates.inner.fields]  # type: ignore[arg-type]
        table = tables(section(read("docs/data-dictionary.md"), "forecast_models"))[1]
        assert [(code(row[0]), row[1]) for row in table[1:]] == fields

    def test_reasons_and_their_flags_are_the_tests(self) -> None:
        found = tables(section(read("docs/architecture.md"), "From pull to forecast"))
        declared = {test.name: ", ".join(test.criteria) for test in STANDARD.tests}
        assert [(code(row[0]), row[1]) for row in found[0][1:]] == list(declared.items())


class TestSettings:
    def test_one_row_a_variable(self) -> None:
        classes: list[type[EnvironmentSettings]] = [
            Settings,
            AlertSettings,
            ApiSettings,
            IngestSettings,
            MqttSettings,
            MetricsSettings,
            LogSettings,
        ]
        classes += [settings_class(network) for network in known_networks()]
        declared = [
            f"{cls.model_config.get('env_prefix', '')}{field}".upper()
            for cls in classes
            for field in cls.model_fields
        ]
        [table] = tables(section(read("docs/settings.md"), "Variables"))
        assert table[0] == ["variable", "default", "meaning"]
        assert [code(row[0]) for row in table[1:]] == declared

    def test_plain_defaults_are_the_declared_ones(self) -> None:
        [table] = tables(section(read("docs/settings.md"), "Variables"))
        shown = {code(row[0]): code(row[1]) for row in table[1:]}
        for name in ("http_timeout_seconds", "http_attempts", "http_concurrency", "chunk_days"):
            assert float(shown[f"AQ_{name}".upper()]) == Settings.model_fields[name].default
        for name in ("daily_day", "aqi_table", "home"):
            assert shown[f"AQ_{name}".upper()] == str(Settings.model_fields[name].default)

    def test_the_keys_of_networks_yaml_are_the_models(self) -> None:
        [table] = tables(section(read("docs/settings.md"), "networks.yaml"))
        meaning = {code(row[0]): row[2] for row in table[1:]}
        assert set(meaning) == set(NetworkConfig.model_fields) - {"name"}
        for key, model in (("area", Area), ("overrides", StationOverride)):
            named = {code(word) for word in re.findall(r"`[a-z_]+`", meaning[key])}
            assert set(model.model_fields) <= named

    def test_the_example_of_networks_yaml_is_accepted(self, tmp_path: Path) -> None:
        text = section(read("docs/settings.md"), "networks.yaml")
        [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        path = tmp_path / "networks.yaml"
        path.write_text(example, "utf-8")
        enabled, ill = read_networks(path, known_networks())
        assert list(enabled) == list(yaml.safe_load(example)["networks"])
        assert ill == {}


class TestCommands:
    def blocks(self) -> str:
        fenced = (
            re.findall(r"```[a-z]*\n(.*?)```", d.read_text("utf-8"), re.DOTALL) for d in DOCUMENTS
        )
        return "\n".join(text for texts in fenced for text in texts)

    def spoken(self) -> str:
        return "\n".join(
            text
            for document in DOCUMENTS
            for text in re.findall(r"`([^`\n]+)`", document.read_text("utf-8"))
        )

    def test_aq_commands_and_options_exist(self) -> None:
        commands = get_command(app).commands  # type: ignore[attr-defined]
        lines = self.blocks().replace("\\\n", " ") + "\n" + self.spoken()
        used = re.findall(r"(?:^|run --rm |bin/| )aq ([a-z]+)\b([^#\"\n]*)", lines, re.MULTILINE)
        assert used
        for name, rest in used:
            assert name in commands, f"aq {name}"
            # A group's options are those of its commands.
            group = (commands[name], *getattr(commands[name], "commands", {}).values())
            options = {option for one in group for param in one.params for option in param.opts}
            for option in re.findall(r"(?<=[\s\[])--[a-z-]+", rest):
                assert option in options, f"aq {name} {option}"

    def test_make_targets_exist(self) -> None:
        targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
        used = re.findall(r"^make ([a-z-]+)", self.blocks() + "\n" + self.spoken(), re.MULTILINE)
        assert set(used) <= targets

    def test_readme_names_the_two_commands(self) -> None:
        assert re.search(r"^make demo\b", read("README.md"), re.MULTILINE)
        assert re.search(r"^make test\b", read("README.md"), re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


class TestLinks:
    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
    def test_relative_links_lead_somewhere(self, document: Path) -> None:
        text = re.sub(r"```.*?```", "", document.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (document.parent / name).resolve() if name else document
            assert path.exists(), f"{target} does not exist"
            if anchor:
                assert anchor in anchors(path), f"{target}: no such heading"

    def test_every_decision_is_listed(self) -> None:
        listed = set(re.findall(r"\((\d{4}-[^)]+)\)", read("docs/decisions/README.md")))
        assert listed == {p.name for p in (ROOT / "docs/decisions").glob("[0-9]*.md")}
