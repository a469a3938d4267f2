"""The built pages: made of the sources that are here, light, and under a strict policy."""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import re

import pytest

from aq_resources.services import Services
from aq_serving.app import create_app
from aq_serving.pages.files import ADDRESSES, STATIC
from aq_serving.settings import ApiSettings
from tests.conftest import ROOT
from tests.unit.serving.conftest import Ask, asker

SOURCES = ROOT / "dashboard"
ASSETS = STATIC / "assets"
MOST_SCRIPT = 300_000
PALETTE = json.loads((SOURCES / "src" / "palette.json").read_text("utf-8"))


def hash_of_sources() -> str:
    """As `dashboard/vite.config.ts` makes it."""
    found = hashlib.sha256()
    files = {
        path.relative_to(SOURCES).as_posix(): path
        for path in SOURCES.rglob("*")
        if path.is_file() and "node_modules" not in path.parts
    }
    for name in sorted(files):
        content = hashlib.sha256(files[name].read_bytes()).hexdigest()
        found.update(f"{name} {content}\n".encode())
    return found.hexdigest()


class TestBuild:
    def test_the_build_is_of_these_sources(self) -> None:
        built = json.loads((STATIC / "build.json").read_text("utf-8"))
        assert built == {"sources": hash_of_sources()}, "the sources changed: run make dashboard"

    def test_all_script_together_is_light(self) -> None:
        assert 0 < sum(path.stat().st_size for path in ASSETS.glob("*.js")) < MOST_SCRIPT

    def test_nothing_is_asked_of_other_sites(self) -> None:
        """Addresses are those of XML's names and of sites that are named, not loaded."""
        built = [STATIC / "index.html", *ASSETS.glob("*.js"), *ASSETS.glob("*.css")]
        found = {
            host
            for path in built
            for host in re.findall(r"https?://([\w.-]+)", path.read_text("utf-8"))
        }
        assert found <= {"www.w3.org"}

    def test_the_lock_names_no_registry_and_every_package_has_its_hash(self) -> None:
        lock = json.loads((SOURCES / "package-lock.json").read_text("utf-8"))
        packages = {name: entry for name, entry in lock["packages"].items() if name}
        assert packages
        assert not [name for name, entry in packages.items() if "resolved" in entry]
        assert not [name for name, entry in packages.items() if "integrity" not in entry]

    def test_licences_of_all_that_is_bundled_are_with_it(self) -> None:
        text = (STATIC / "licences.txt").read_text("utf-8")
        package = json.loads((SOURCES / "package.json").read_text("utf-8"))
        for name, version in package["dependencies"].items():
            assert f"{name} {version} (" in text
        assert "Natural Earth" in text

    def test_every_language_has_its_file(self) -> None:
        for language in ("en", "fr", "it", "nl"):
            assert list(ASSETS.glob(f"{language}-*.js"))


class TestAnswers:
    @pytest.mark.parametrize("address", [*ADDRESSES, "/station?network=airqino&station_id=s1"])
    def test_every_page_is_the_document_under_a_strict_policy(self, ask: Ask, address: str) -> None:
        answer = ask(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert not [part for part in policy if "unsafe" in part or "http" in part]
        assert answer.headers["cache-control"] == "no-cache"
        assert "<script>" not in answer.text
        assert "style=" not in answer.text

    def test_a_document_that_is_known_is_not_sent_again(self, ask: Ask) -> None:
        tag = ask("/").headers["etag"]
        again = ask("/", if_none_match=tag)
        assert (again.status_code, again.content) == (304, b"")

    def test_what_the_document_names_is_kept_for_good(self, ask: Ask) -> None:
        named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', ask("/").text)
        assert len(named) == 3
        for address in named:
            answer = ask(address)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]

    def test_the_policy_lets_in_tiles_of_the_setting_alone(
        self, services: Services, ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = ask("/")
        assert 'name="tiles' not in plain.text
        monkeypatch.setenv("AQ_API_TILES_URL", "https://tiles.example/{z}/{x}/{y}.png")
        monkeypatch.setenv("AQ_API_TILES_ATTRIBUTION", '"Makers" & others')
        tiled = asker(create_app(services, ApiSettings()))
        answer = tiled("/")
        assert (
            '<meta name="tiles" content="https://tiles.example/{z}/{x}/{y}.png" />' in answer.text
        )
        assert 'content="&quot;Makers&quot; &amp; others"' in answer.text
        policy = plain.headers["content-security-policy"]
        added = policy.replace("img-src 'self'", "img-src 'self' https://tiles.example")
        assert answer.headers["content-security-policy"] == added
        assert tiled("/docs").headers["content-security-policy"] == policy

    def test_the_reference_has_every_resource_and_runs_nothing(self, ask: Ask) -> None:
        answer = ask("/docs")
        assert (
            answer.headers["content-security-policy"] == ask("/").headers["content-security-policy"]
        )
        assert "<script" not in answer.text
        assert "style=" not in answer.text
        for path, operation in ask("/v1/openapi.json").json()["paths"].items():
            assert f"<h2>GET <code>{path}</code></h2>" in answer.text
            for parameter in operation["get"].get("parameters", []):
                assert f"<td><code>{parameter['name']}</code></td>" in answer.text
        ids = re.findall(r' id="([^"]+)"', answer.text)
        assert len(set(ids)) == len(ids)
        for address in set(re.findall(r'(?:href|src)="([^"]+)"', answer.text)):
            if address.startswith("#"):
                assert address[1:] in ids
            elif not address.startswith("/v1/live"):
                # Without the stream, which has no end. An example may ask for what is not there, or
                # needs more.
                assert ask(html.unescape(address)).status_code in (200, 400, 404), address
        again = ask("/docs", if_none_match=answer.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert ask("/redoc").status_code == 404

    def test_licences_are_sent(self, ask: Ask) -> None:
        assert "preact" in ask("/licences.txt").text

    @pytest.mark.parametrize("address", ["/nothing", "/assets/nothing.js", "/assets/../index.html"])
    def test_there_is_nothing_else(self, ask: Ask, address: str) -> None:
        assert ask(address).status_code == 404


def linear(colour: str) -> tuple[float, float, float]:
    """Linear light of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return red, green, blue


def oklab(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    """Björn Ottosson's OKLab, in which distances are as they are seen."""
    lms = [
        max(0.0, sum(weight * part for weight, part in zip(row, rgb, strict=True))) ** (1 / 3)
        for row in (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        )
    ]
    lightness, a, b = (
        sum(weight * part for weight, part in zip(row, lms, strict=True))
        for row in (
            (0.2104542553, 0.7936177850, -0.0040720468),
            (1.9779984951, -2.4285922050, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.8086757660),
        )
    )
    return lightness, a, b


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear light.
VISION = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


class TestColours:
    @pytest.mark.parametrize("vision", VISION)
    def test_categories_differ_with_any_colour_vision(self, vision: str) -> None:
        seen = [
            oklab(
                tuple(  # type: ignore[arg-type]
                    sum(w * part for w, part in zip(row, linear(colour), strict=True))
                    for row in VISION[vision]
                )
            )
            for colour in PALETTE["ranks"]
        ]
        apart = {
            (first + 1, second + 1): sum(
                (x - y) ** 2 for x, y in zip(seen[first], seen[second], strict=True)
            )
            ** 0.5
            for first, second in itertools.combinations(range(6), 2)
        }
        # Twelve hundredths are six times what is just seen.
        assert min(apart.values()) > 0.12, apart

    def test_each_digit_is_read_on_its_colour(self) -> None:
        """WCAG 2.2, 1.4.3: 4.5 to 1."""

        def luminance(colour: str) -> float:
            red, green, blue = linear(colour)
            return 0.2126 * red + 0.7152 * green + 0.0722 * blue

        for colour, ink in zip(PALETTE["ranks"], PALETTE["ink"], strict=True):
            darker, lighter = sorted((luminance(colour), luminance(ink)))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5
