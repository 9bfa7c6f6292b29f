"""The React client in a real browser against a real server: accounts, sessions, profile, and lost connections."""

from __future__ import annotations

import re

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from .factories import PASSWORD, PHOTOS
from .react_client import NEEDS_NODE, Site, account_button, log_in, log_out, sign_up, visible_image_url

pytestmark = NEEDS_NODE


# --- Accounts ---


def test_signup_photo_is_previewed_and_stored(any_site: Site, page: Page) -> None:
    page.goto(f"{any_site.origin}/signup")
    page.locator("input[type=file]").set_input_files(PHOTOS / "grace_hopper.jpg")
    assert visible_image_url(page.get_by_role("main").locator("img")).startswith("blob:")

    sign_up(page, any_site, "Anna", photo=PHOTOS / "grace_hopper.jpg")
    page.goto(f"{any_site.origin}/profile")

    picture = page.get_by_role("img", name="Your photo")
    assert visible_image_url(picture).startswith(f"http://localhost:{any_site.server.port}/profile_pics/")
    expect(picture).to_have_attribute("srcset", re.compile(r"_2x\.webp 2x$"))


def test_login_survives_reload_until_logout(any_site: Site, page: Page) -> None:
    sign_up(page, any_site, "Anna")

    page.reload()
    expect(account_button(page, "Anna")).to_be_visible()
    log_out(page, "Anna")
    page.reload()

    expect(page.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()


def test_login_shows_error_then_redirects_to_requested_page(any_site: Site, page: Page) -> None:
    any_site.register("Anna")
    page.goto(f"{any_site.origin}/profile")

    log_in(page, "anna@example.com", "not her password")
    expect(page.get_by_role("alert").filter(has_text="Username or Password is incorrect")).to_be_visible()
    log_in(page, "Anna")

    expect(page.get_by_role("heading", name="Profile", exact=True)).to_be_visible()
    assert page.url == f"{any_site.origin}/profile"


def test_remember_me_sets_persistent_cookie(site: Site, page: Page, browser: Browser) -> None:
    site.register("Anna")
    lifetimes = []
    for remember in (False, True):
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(f"{site.origin}/login")
            log_in(page, "Anna", remember=remember)
            expect(account_button(page, "Anna")).to_be_visible()
            lifetimes += [cookie["expires"] for cookie in context.cookies() if cookie["name"] == "kennel_session"]

    assert lifetimes[0] == -1
    assert lifetimes[1] > 0


def test_signup_errors_are_shown_at_fields_and_keep_input(site: Site, page: Page) -> None:
    site.register("Anna")
    page.goto(f"{site.origin}/signup")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("E-mail address").fill("new@example.com")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Sign up").click()

    expect(page.get_by_label("Password", exact=True)).to_have_accessible_description(re.compile("Must be 8 to 256"))
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()

    expect(page.get_by_label("Username")).to_have_accessible_description(re.compile("already exists"))
    expect(page.get_by_label("Username")).to_be_focused()
    expect(page.get_by_label("E-mail address")).to_have_value("new@example.com")


def test_invalid_picture_shows_error(site: Site, page: Page) -> None:
    page.goto(f"{site.origin}/signup")
    invalid = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": b"<script>alert(1)</script>"}
    page.locator("input[type=file]").set_input_files(invalid)
    page.get_by_label("Username").fill("Anna")
    page.get_by_label("E-mail address").fill("anna@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()

    expect(page.get_by_role("alert").filter(has_text=re.compile("JPEG|picture|image"))).to_be_visible()
    expect(page.get_by_label("Username")).to_have_value("Anna")


def test_rate_limited_login_shows_countdown(site: Site, page: Page) -> None:
    site.register("Anna")
    wrong = {"username": "Anna", "password": "not her password"}
    for _ in range(10):
        requests.post(f"{site.server.url}/user/login", json=wrong, timeout=30)
    page.goto(f"{site.origin}/login")

    log_in(page, "Anna")

    button = page.get_by_role("main").get_by_role("button", name=re.compile(r"Try again in \d+ s"))
    expect(button).to_be_visible()
    expect(button).to_be_disabled()
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")


def test_ended_session_redirects_to_login_and_back(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.goto(f"{site.origin}/profile")
    other_device = requests.Session()
    other_device.post(f"{site.server.url}/user/login", json={"username": "Anna", "password": PASSWORD}, timeout=30)
    change = {"current_password": PASSWORD, "new_password": "battery staple"}
    assert other_device.put(f"{site.server.url}/user/password", json=change, timeout=30).ok

    page.get_by_label("Username").fill("Hanna")
    page.get_by_role("button", name="Save username").click()
    expect(page.get_by_text("Your session has expired")).to_be_visible()
    log_in(page, "Anna", "battery staple")

    expect(page.get_by_role("heading", name="Profile", exact=True)).to_be_visible()


def test_logout_reaches_other_tabs(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    other_tab = page.context.new_page()
    other_tab.goto(site.origin)
    expect(account_button(other_tab, "Anna")).to_be_visible()

    log_out(page, "Anna")

    expect(other_tab.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()


def test_profile_form_changes_every_field(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.goto(f"{site.origin}/profile")

    page.get_by_label("Username").fill("Hanna")
    page.get_by_role("button", name="Save username").click()
    expect(account_button(page, "Hanna")).to_be_visible()
    email_section = page.locator("section").filter(has=page.get_by_role("heading", name="E-mail address"))
    email_section.get_by_label("E-mail address").fill("hanna@example.com")
    email_section.get_by_label("Current password").fill(PASSWORD)
    email_section.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your new e-mail address is saved.")).to_be_visible()
    password_section = page.locator("section").filter(has=page.get_by_role("heading", name="Password"))
    password_section.get_by_label("Current password").fill("wrong password")
    password_section.get_by_label("New password").fill("battery staple")
    password_section.get_by_role("button", name="Save").click()
    expect(password_section.get_by_label("Current password")).to_have_accessible_description(re.compile("."))
    password_section.get_by_label("Current password").fill(PASSWORD)
    password_section.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your new password is saved.")).to_be_visible()

    login = {"email": "hanna@example.com", "password": "battery staple"}
    response = requests.post(f"{site.server.url}/user/login", json=login, timeout=30)
    assert response.json()["data"]["username"] == "Hanna"


def test_photo_is_replaced_and_removed(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.goto(f"{site.origin}/profile")
    picture = page.get_by_role("img", name="Your photo")
    default_url = visible_image_url(picture)

    page.locator("input[type=file]").set_input_files(PHOTOS / "grace_hopper.jpg")
    page.get_by_role("button", name="Save photo").click()
    expect(page.get_by_role("button", name="Remove photo")).to_be_visible()
    photo_url = visible_image_url(picture)
    page.get_by_role("button", name="Remove photo").click()
    expect(page.get_by_role("button", name="Remove photo")).to_be_hidden()

    assert len({default_url, photo_url, visible_image_url(picture)}) == 3


def test_account_deletion_requires_password(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.goto(f"{site.origin}/profile")
    page.get_by_role("button", name="Delete account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Current password").fill("wrong password")
    dialog.get_by_role("button", name="Delete account").click()
    expect(dialog.get_by_label("Current password")).to_have_accessible_description(re.compile("."))

    dialog.get_by_label("Current password").fill(PASSWORD)
    dialog.get_by_role("button", name="Delete account").click()

    expect(page.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()
    login = {"username": "Anna", "password": PASSWORD}
    assert requests.post(f"{site.server.url}/user/login", json=login, timeout=30).status_code == 401


# --- Connection and URLs ---


def test_lost_connection_keeps_form_and_reconnects(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.goto(f"{site.origin}/profile")
    page.get_by_label("Username").fill("Hanna")
    site.server.kill()
    page.get_by_role("button", name="Save username").click()
    expect(page.get_by_text("No connection. Trying again")).to_be_visible()
    expect(page.get_by_label("Username")).to_have_value("Hanna")

    site.server.start()
    expect(page.get_by_text("No connection. Trying again")).to_be_hidden(timeout=30_000)
    page.get_by_role("button", name="Try again").click()

    expect(account_button(page, "Hanna")).to_be_visible()


def test_unknown_url_shows_not_found_page(any_site: Site, page: Page) -> None:
    page.goto(f"{any_site.origin}/no/such/page")

    expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
    page.get_by_role("link", name="See the dogs").click()
    assert page.url == f"{any_site.origin}/"


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example/", "/\\evil.example"])
def test_login_does_not_redirect_to_other_sites(site: Site, page: Page, next_page: str) -> None:
    site.register("Anna")
    page.goto(f"{site.origin}/login?next={next_page}")

    log_in(page, "Anna")
    expect(account_button(page, "Anna")).to_be_visible()

    assert page.url.startswith(f"{site.origin}/")
