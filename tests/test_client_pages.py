"""Each page of the React client, on a phone and on a desk, in light and dark: pictured, and without barriers."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from .factories import PHOTOS
from .live_server import Server
from .react_client import CLIENT, NEEDS_NODE, Site, log_in, sign_up

pytestmark = NEEDS_NODE

SCREENSHOTS = CLIENT / "screenshots"
DEVICES = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
DOGS = [
    ("Rex", "Poodle", "Anna"), ("Bella", "Beagle", "Anna"), ("Max", "Australian Shepherd", "Grace"),
    ("Luna", "Mixed", "Grace"), ("Charlie", "Dachshund", "Edsger"), ("Coco", "Poodle", "Barbara"),
    ("Waldi", "Dachshund", "Barbara"), ("Ada", "Border Collie", "Anna"), ("Bruno", "Bernese Mountain Dog", "Niklaus"),
]  # fmt: skip


class View(NamedTuple):
    """What there is to see: a page's path, whether by Anna, and what she does there."""

    path: str
    is_logged_in: bool = False
    act: Callable[[Page, Site], None] = lambda page, site: None


def find_nothing(page: Page, site: Site) -> None:
    expect(page.get_by_text("No dog is quite like that")).to_be_visible()


def add_a_wrong_dog(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Add a dog").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Breed").fill("Poodle")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_label("Name")).to_have_attribute("aria-invalid", "true")


def save_a_stale_dog(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Edit Rex").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Breed").fill("Giant Poodle")
    change_elsewhere(page, site, owner="Grace")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog.get_by_role("button", name="Keep theirs")).to_be_visible()


def change_elsewhere(page: Page, site: Site, **fields: str) -> None:
    """Change Rex as the same user does on another device."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    url = f"{site.server.url}/api/v1/dogs"
    rex = requests.get(url, params={"name": "Rex"}, timeout=30).json()["data"][0]
    for owner in (fields["owner"], "Anna", fields["owner"]):  # so that it is another version each time
        requests.patch(f"{url}/{rex['id']}", json={"owner": owner}, cookies=cookies, timeout=30).raise_for_status()


def delete_a_dog(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Delete Ada").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def lose_the_connection(page: Page, site: Site) -> None:
    expect(page.get_by_role("heading", name="Rex")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_label("Search").fill("a")
    expect(page.get_by_text("No connection")).to_be_visible()


def sign_up_wrongly(page: Page, site: Site) -> None:
    page.locator("input[type=file]").set_input_files(PHOTOS / "grace_hopper.jpg")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("E-mail address").fill("anna@example.com")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_label("Password", exact=True)).to_have_accessible_description(re.compile("Must be 8 to 256"))


def log_in_wrongly(page: Page, site: Site) -> None:
    log_in(page, "Nobody", "not the password")
    expect(page.get_by_role("alert")).to_be_visible()


def ask_to_delete_the_account(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Delete account").click()
    expect(page.get_by_role("dialog").get_by_label("Current password")).to_be_focused()


VIEWS = {
    "dogs": View("/", True),
    "dogs-visitor": View("/"),
    "dogs-nothing-found": View("/?q=nothing", True, find_nothing),
    "dogs-mine": View("/?mine=true&sort=name", True),
    "dogs-add": View("/", True, add_a_wrong_dog),
    "dogs-conflict": View("/", True, save_a_stale_dog),
    "dogs-undo": View("/", True, delete_a_dog),
    "dogs-offline": View("/", False, lose_the_connection),
    "signup": View("/signup"),
    "signup-refused": View("/signup", False, sign_up_wrongly),
    "login": View("/login"),
    "login-refused": View("/login", False, log_in_wrongly),
    "profile": View("/profile", True),
    "profile-delete": View("/profile", True, ask_to_delete_the_account),
    "not-found": View("/no/such/page"),
}


@pytest.fixture(scope="module")
def lived_in(system: None, api_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The built client, with users and dogs."""
    home = tmp_path_factory.mktemp("lived-in")
    with Server(home, port=api_port, WEB_CONCURRENCY="1", RATELIMIT_ENABLED="false") as server:
        yield Site(f"http://localhost:{api_port}", server)


@pytest.fixture(scope="module")
def anna(browser: Browser, lived_in: Site) -> dict[str, Any]:
    """The browser's memory of Anna, who has signed up with a photo and added some dogs."""
    with browser.new_context() as context:
        page = context.new_page()
        sign_up(page, lived_in, "Anna", photo=PHOTOS / "grace_hopper.jpg")
        cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
        others = lived_in.register("Barbara")
        for name, breed, owner in DOGS:
            client = others if owner == "Barbara" else requests.Session()
            client.cookies.update({} if owner == "Barbara" else cookies)
            lived_in.add_dog(client, name=name, breed=breed, owner=owner)
        return dict(context.storage_state())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", VIEWS)
def test_it_has_no_barriers_breaks_no_policy_and_never_scrolls_sideways(
    browser: Browser, lived_in: Site, anna: dict[str, Any], name: str, device: str, scheme: Any
) -> None:
    view = VIEWS[name]
    with browser.new_context(
        viewport=DEVICES[device],
        color_scheme=scheme,
        storage_state=anna if view.is_logged_in else None,
        reduced_motion="reduce",
        has_touch=device == "phone",
    ) as context:
        page = context.new_page()
        violations: list[str] = []
        page.on(
            "console", lambda said: violations.append(said.text) if "Content Security Policy" in said.text else None
        )
        page.goto(f"{lived_in.origin}{view.path}", wait_until="networkidle")
        view.act(page, lived_in)
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}-{device}-{scheme}.png")

        assert barriers(page) == []
        assert violations == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        restore(page)


def barriers(page: Page) -> list[str]:
    """What axe finds wrong with a page: the rules of WCAG 2.2, and what else is known to help."""
    page.evaluate((CLIENT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]


def restore(page: Page) -> None:
    """Bring back a dog that was deleted."""
    undo = page.get_by_role("button", name="Undo")
    if undo.is_visible():
        undo.click()
        expect(page.get_by_role("heading", name="Ada", exact=True)).to_be_visible()


# --- What is loaded ---


def test_the_first_load_holds_at_most_200_kb_of_packed_javascript(lived_in: Site, page: Page) -> None:
    sizes: dict[str, int] = {}

    def weigh(response: Any) -> None:
        if response.url.endswith(".js"):
            sizes[response.url] = len(gzip.compress(response.body()))

    page.on("requestfinished", lambda request: weigh(request.response()))
    page.goto(lived_in.origin, wait_until="networkidle")

    assert len(sizes) >= 2
    assert sum(sizes.values()) <= 200_000


def test_nothing_is_loaded_from_another_server(lived_in: Site, anna: dict[str, Any], browser: Browser) -> None:
    with browser.new_context(storage_state=anna) as context:
        page = context.new_page()
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(re.match(r"\w+:(//[^/]+)?", request.url)[0]))
        for path in ("/", "/profile", "/login", "/no/such/page"):
            page.goto(f"{lived_in.origin}{path}", wait_until="networkidle")

        assert asked <= {lived_in.origin, "data:", "blob:"}


def test_what_has_a_hash_in_its_name_is_kept_for_good_and_comes_packed(lived_in: Site, page: Page) -> None:
    kept = {}
    page.on("response", lambda response: kept.update({response.url: response.headers}))
    page.goto(lived_in.origin, wait_until="networkidle")

    assets = {url: headers for url, headers in kept.items() if "/assets/" in url}
    assert assets
    for url, headers in assets.items():
        assert headers["cache-control"] == "public, max-age=31536000, immutable", url
        assert headers.get("content-encoding") in ("br", "gzip"), url
