"""Accessibility, CSP and reflow of each page of the React client, by device and color scheme, with a screenshot."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from .factories import PHOTOS
from .live_server import Server
from .react_client import CLIENT, NEEDS_NODE, Site, log_in, sign_up

pytestmark = NEEDS_NODE

SCREENSHOTS = CLIENT / "screenshots"
CSP = "Content Security Policy"
DEVICES = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
DOGS = [
    ("Rex", "Poodle", "Anna"), ("Bella", "Beagle", "Anna"), ("Max", "Australian Shepherd", "Grace"),
    ("Luna", "Mixed", "Grace"), ("Charlie", "Dachshund", "Edsger"), ("Coco", "Poodle", "Barbara"),
    ("Waldi", "Dachshund", "Barbara"), ("Ada", "Border Collie", "Anna"), ("Bruno", "Bernese Mountain Dog", "Niklaus"),
]  # fmt: skip


class View(NamedTuple):
    """A page to check: its path, whether Anna is logged in, and an action that changes its state."""

    path: str
    is_logged_in: bool = False
    act: Callable[[Page, Site], None] = lambda page, site: None


def wait_for_empty_results(page: Page, site: Site) -> None:
    expect(page.get_by_text("No dogs found")).to_be_visible()


def submit_invalid_dog(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Add a dog").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Breed").fill("Poodle")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_label("Name")).to_have_attribute("aria-invalid", "true")


def save_stale_edit(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Edit Rex").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Breed").fill("Giant Poodle")
    update_by_api(page, site, owner="Grace")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog.get_by_role("button", name="Keep theirs")).to_be_visible()


def update_by_api(page: Page, site: Site, **fields: str) -> None:
    """Update Rex through the API, with the session of the page."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    url = f"{site.server.url}/api/v1/dogs"
    rex = requests.get(url, params={"name": "Rex"}, timeout=30).json()["data"][0]
    for owner in (fields["owner"], "Anna", fields["owner"]):  # so that the version changes on each run
        requests.patch(f"{url}/{rex['id']}", json={"owner": owner}, cookies=cookies, timeout=30).raise_for_status()


def delete_dog(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Delete Ada").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def lose_connection(page: Page, site: Site) -> None:
    expect(page.get_by_role("heading", name="Rex")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_label("Search").fill("a")
    expect(page.get_by_text("No connection")).to_be_visible()


def submit_invalid_signup(page: Page, site: Site) -> None:
    page.locator("input[type=file]").set_input_files(PHOTOS / "grace_hopper.jpg")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("E-mail address").fill("anna@example.com")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_label("Password", exact=True)).to_have_accessible_description(re.compile("Must be 8 to 256"))


def submit_wrong_login(page: Page, site: Site) -> None:
    log_in(page, "Unknown", "not the password")
    expect(page.get_by_role("alert")).to_be_visible()


def open_delete_dialog(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Delete account").click()
    expect(page.get_by_role("dialog").get_by_label("Current password")).to_be_focused()


VIEWS = {
    "dogs": View("/", True),
    "dogs-anonymous": View("/"),
    "dogs-no-results": View("/?q=nothing", True, wait_for_empty_results),
    "dogs-mine": View("/?mine=true&sort=name", True),
    "dogs-add": View("/", True, submit_invalid_dog),
    "dogs-conflict": View("/", True, save_stale_edit),
    "dogs-undo": View("/", True, delete_dog),
    "dogs-offline": View("/", False, lose_connection),
    "signup": View("/signup"),
    "signup-invalid": View("/signup", False, submit_invalid_signup),
    "login": View("/login"),
    "login-invalid": View("/login", False, submit_wrong_login),
    "profile": View("/profile", True),
    "profile-delete": View("/profile", True, open_delete_dialog),
    "not-found": View("/no/such/page"),
}


@pytest.fixture(scope="module")
def populated_site(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The built client, with users and dogs in its database."""
    home = tmp_path_factory.mktemp("populated-site")
    with Server(home, WEB_CONCURRENCY="1", RATELIMIT_ENABLED="false") as server:
        yield Site(f"http://localhost:{server.port}", server)


@pytest.fixture(scope="module")
def anna(browser: Browser, populated_site: Site) -> dict[str, Any]:
    """The browser storage state of Anna, who has signed up with a photo and added some dogs."""
    with browser.new_context() as context:
        page = context.new_page()
        sign_up(page, populated_site, "Anna", photo=PHOTOS / "grace_hopper.jpg")
        cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
        barbara = populated_site.register("Barbara")
        for name, breed, owner in DOGS:
            client = barbara if owner == "Barbara" else requests.Session()
            client.cookies.update({} if owner == "Barbara" else cookies)
            populated_site.add_dog(client, name=name, breed=breed, owner=owner)
        return dict(context.storage_state())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", VIEWS)
def test_page_passes_axe_csp_and_reflow_in_both_schemes(
    browser: Browser, populated_site: Site, anna: dict[str, Any], name: str, device: str
) -> None:
    view = VIEWS[name]
    with browser.new_context(
        viewport=DEVICES[device],
        storage_state=anna if view.is_logged_in else None,
        reduced_motion="reduce",
        has_touch=device == "phone",
    ) as context:
        page = context.new_page()
        csp_violations: list[str] = []
        page.on("console", lambda entry: csp_violations.append(entry.text) if CSP in entry.text else None)
        page.goto(f"{populated_site.origin}{view.path}", wait_until="networkidle")
        view.act(page, populated_site)
        expect(page.get_by_label("Loading")).to_have_count(0)
        SCREENSHOTS.mkdir(exist_ok=True)
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=SCREENSHOTS / f"{name}-{device}-{scheme}.png")

            assert find_axe_violations(page) == [], scheme
        assert csp_violations == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        undo_deletion(page)


def find_axe_violations(page: Page) -> list[str]:
    """Return the violations of axe's default rules (WCAG and best practices) on a page."""
    page.evaluate((CLIENT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    results = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{rule['id']}: {node['html']}" for rule in results["violations"] for node in rule["nodes"]]


def undo_deletion(page: Page) -> None:
    """Restore the deleted dog, if one was deleted."""
    undo = page.get_by_role("button", name="Undo")
    if undo.is_visible():
        undo.click()
        expect(page.get_by_role("heading", name="Ada", exact=True)).to_be_visible()


# --- Loaded resources ---


def test_first_load_has_at_most_200_kb_of_javascript(populated_site: Site, page: Page) -> None:
    responses: list[Any] = []
    page.on("response", lambda response: responses.append(response))

    page.goto(populated_site.origin, wait_until="networkidle")

    sizes = {found.url: len(gzip.compress(found.body())) for found in responses if found.url.endswith(".js")}
    assert len(sizes) >= 2
    assert sum(sizes.values()) <= 200_000


def test_page_loads_nothing_from_other_origins(populated_site: Site, anna: dict[str, Any], browser: Browser) -> None:
    with browser.new_context(storage_state=anna) as context:
        page = context.new_page()
        origins: set[str] = set()
        page.on("request", lambda request: origins.add(re.match(r"\w+:(//[^/]+)?", request.url)[0]))
        for path in ("/", "/profile", "/login", "/no/such/page"):
            page.goto(f"{populated_site.origin}{path}", wait_until="networkidle")

        assert origins <= {populated_site.origin, "data:", "blob:"}


def test_hashed_assets_are_immutable_and_compressed(populated_site: Site, page: Page) -> None:
    response_headers = {}
    page.on("response", lambda response: response_headers.update({response.url: response.headers}))
    page.goto(populated_site.origin, wait_until="networkidle")

    assets = {url: headers for url, headers in response_headers.items() if "/assets/" in url}
    assert assets
    for url, headers in assets.items():
        assert headers["cache-control"] == "public, max-age=31536000, immutable", url
        assert headers.get("content-encoding") in ("br", "gzip"), url
