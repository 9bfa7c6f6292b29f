"""The dogs in the React client: list, search, create, edit, edit conflicts, delete and undo."""

from __future__ import annotations

import re

import requests
from playwright.sync_api import Locator, Page, expect

from .factories import PASSWORD
from .react_client import NEEDS_NODE, Site, log_in, sign_up

pytestmark = NEEDS_NODE


def find_card(page: Page, name: str) -> Locator:
    """Return the list item of the dog with this name."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name, exact=True))


def list_names(page: Page) -> list[str]:
    """Return the names of the listed dogs, from top to bottom."""
    return page.get_by_role("listitem").get_by_role("heading").all_inner_texts()


def fill_dialog(page: Page, **values: str) -> Locator:
    """Fill fields of the open dialog for a dog, and return the dialog."""
    dialog = page.get_by_role("dialog")
    for label, text in values.items():
        dialog.get_by_label(label.capitalize(), exact=True).fill(text)
    return dialog


def add_dogs(site: Site, client: requests.Session, count: int) -> None:
    """Create `count` dogs through the API, with names that sort in order of creation."""
    for number in range(count):
        site.add_dog(client, name=f"Dog {number:03}", breed="Beagle" if number % 2 else "Poodle")


# --- Create, edit and delete ---


def test_dog_is_added_edited_deleted_and_restored(any_site: Site, page: Page) -> None:
    sign_up(page, any_site, "Anna")
    page.goto(any_site.origin)
    expect(page.get_by_text("No dogs yet")).to_be_visible()

    page.get_by_role("button", name="Add a dog").first.click()
    fill_dialog(page, name="Rex", breed="Poodle").get_by_role("button", name="Add", exact=True).click()
    expect(find_card(page, "Rex")).to_contain_text("Anna")

    find_card(page, "Rex").get_by_role("button", name="Edit Rex").click()
    fill_dialog(page, name="Max").get_by_role("button", name="Save", exact=True).click()
    expect(find_card(page, "Max")).to_contain_text("Poodle")

    find_card(page, "Max").get_by_role("button", name="Delete Max").click()
    expect(find_card(page, "Max")).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(find_card(page, "Max")).to_contain_text("Poodle")
    page.reload()
    expect(find_card(page, "Max")).to_be_visible()


def test_invalid_dog_shows_errors_at_fields(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.get_by_role("button", name="Add a dog").first.click()
    dialog = fill_dialog(page, name="x" * 81, breed="Poodle")
    dialog.get_by_role("button", name="Add", exact=True).click()

    expect(dialog.get_by_label("Name")).to_have_accessible_description(re.compile("Must be 1 to 80 characters"))
    expect(dialog.get_by_label("Breed")).to_have_value("Poodle")


def test_dogs_of_other_users_are_read_only(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    sign_up(page, site, "Anna")

    expect(find_card(page, "Bello")).to_contain_text("Bob")
    expect(find_card(page, "Bello").get_by_role("button")).to_have_count(0)
    page.get_by_label("Mine only").click()
    expect(page.get_by_text("You have no dogs yet")).to_be_visible()


def test_dogs_are_read_only_for_anonymous_users(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    page.goto(site.origin)

    expect(find_card(page, "Bello")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button", name=re.compile("Add|Edit|Delete"))).to_have_count(0)


# --- Edit conflicts ---


def test_stale_edit_shows_both_versions_and_saves_mine(any_site: Site, page: Page) -> None:
    dog, other_client = save_stale_edit(any_site, page)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("changed in the meantime")
    expect(dialog).to_contain_text("Saved elsewhere")
    # A field changed only elsewhere is merged; a field changed on both sides keeps my value.
    expect(dialog.get_by_label("Breed (yours)")).to_have_value("Beagle")
    expect(dialog.get_by_label("Name (yours)")).to_have_value("Mine")

    dialog.get_by_role("button", name="Save mine").click()

    expect(dialog).to_be_hidden()
    expect(find_card(page, "Mine")).to_contain_text("Beagle")
    assert fetch_dog(any_site, other_client, dog["id"])["name"] == "Mine"


def test_stale_edit_can_be_discarded(site: Site, page: Page) -> None:
    dog, other_client = save_stale_edit(site, page)

    page.get_by_role("dialog").get_by_role("button", name="Keep theirs").click()

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(find_card(page, "Saved elsewhere")).to_contain_text("Beagle")
    assert fetch_dog(site, other_client, dog["id"])["name"] == "Saved elsewhere"


def save_stale_edit(site: Site, page: Page) -> tuple[dict, requests.Session]:
    """Save an edit of a dog that another client has changed in the meantime. Return the dog and that client."""
    other_client = site.register("Anna")
    dog = site.add_dog(other_client, name="Rex")
    page.goto(f"{site.origin}/login")
    log_in(page, "Anna")
    find_card(page, "Rex").get_by_role("button", name="Edit Rex").click()
    dialog = fill_dialog(page, name="Mine")
    other_edit = {"name": "Saved elsewhere", "breed": "Beagle"}
    assert other_client.patch(f"{site.server.url}/api/v1/dogs/{dog['id']}", json=other_edit, timeout=30).ok
    dialog.get_by_role("button", name="Save", exact=True).click()
    return dog, other_client


def fetch_dog(site: Site, client: requests.Session, dog_id: int) -> dict:
    """Return a dog as the API does."""
    return client.get(f"{site.server.url}/api/v1/dogs/{dog_id}", timeout=30).json()["data"]


def test_edit_of_deleted_dog_can_be_added_again(site: Site, page: Page) -> None:
    other_client = site.register("Anna")
    dog = site.add_dog(other_client, name="Rex")
    page.goto(f"{site.origin}/login")
    log_in(page, "Anna")
    find_card(page, "Rex").get_by_role("button", name="Edit Rex").click()
    dialog = fill_dialog(page, name="Max")
    assert other_client.delete(f"{site.server.url}/api/v1/dogs/{dog['id']}", timeout=30).ok
    dialog.get_by_role("button", name="Save", exact=True).click()

    expect(dialog).to_contain_text("deleted in the meantime")
    dialog.get_by_role("button", name="Add again").click()

    expect(find_card(page, "Max")).to_be_visible()


# --- Search, filters and paging ---


def test_infinite_scroll_shows_each_dog_once(site: Site, page: Page) -> None:
    add_dogs(site, site.register("Bob"), 120)
    page.goto(f"{site.origin}/?sort=name")
    expect(find_card(page, "Dog 000")).to_be_visible()
    assert len(list_names(page)) < 120

    for _ in range(3):
        page.get_by_role("listitem").last.scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")

    expect(page.get_by_text(re.compile("^120 dogs"))).to_be_visible()
    assert list_names(page) == [f"Dog {number:03}" for number in range(120)]


def test_search_filter_and_sort_are_kept_in_url(site: Site, page: Page) -> None:
    bob = site.register("Bob")
    for name, breed, owner in (("Rex", "Poodle", "Bob"), ("Ada", "Poodle", "Zoe"), ("Bello", "Beagle", "Zoe")):
        site.add_dog(bob, name=name, breed=breed, owner=owner)
    page.goto(site.origin)
    expect(find_card(page, "Rex")).to_be_visible()

    page.get_by_label("Sort by").select_option("Name, A to Z")
    expect(page.get_by_role("listitem").first).to_contain_text("Ada")
    page.get_by_label("Search").fill("poo")
    expect(find_card(page, "Bello")).to_be_hidden()
    find_card(page, "Ada").get_by_role("link", name="Zoe").click()
    expect(page.get_by_text(re.compile("^1 dog\\b"))).to_be_visible()
    page.reload()

    expect(page.get_by_label("Owner", exact=True)).to_have_value("Zoe")
    expect(page.get_by_label("Search")).to_have_value("poo")
    assert list_names(page) == ["Ada"]
    page.get_by_role("link", name="Clear all filters").click()
    expect(page.get_by_role("listitem")).to_have_count(3)
    page.go_back()
    expect(page.get_by_role("listitem")).to_have_count(1)


def test_search_without_results_links_to_all_dogs(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    page.goto(f"{site.origin}/?q=nothing")

    expect(page.get_by_text("No dogs found")).to_be_visible()
    page.get_by_role("link", name="Show all dogs").click()
    expect(find_card(page, "Bello")).to_be_visible()


# --- Ended sessions and lost connections ---


def test_form_survives_ended_session_and_login(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.get_by_role("button", name="Add a dog").first.click()
    dialog = fill_dialog(page, name="Rex", breed="Poodle")
    page.context.clear_cookies()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Your session has expired")).to_be_visible()

    log_in(page, "Anna", PASSWORD)
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()

    expect(find_card(page, "Rex")).to_be_visible()


def test_form_survives_lost_connection(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.get_by_role("button", name="Add a dog").first.click()
    dialog = fill_dialog(page, name="Rex", breed="Poodle")
    site.server.kill()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("No connection")
    expect(dialog.get_by_label("Name")).to_have_value("Rex")

    site.server.start()
    dialog.get_by_role("button", name="Try again").click()

    expect(find_card(page, "Rex")).to_be_visible()


def test_list_reloads_when_server_is_back(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    page.goto(f"{site.origin}/login")
    site.server.kill()
    page.get_by_role("navigation").get_by_role("link", name="Dogs").click()
    expect(page.get_by_text("No connection. Trying again")).to_be_visible()

    site.server.start()

    expect(find_card(page, "Bello")).to_be_visible(timeout=30_000)


# --- Keyboard ---


def test_dog_is_added_and_deleted_by_keyboard(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    expect(page.get_by_role("button", name="Add a dog").first).to_be_visible()

    tab_to(page, "Add a dog")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
    page.keyboard.type("Rex")
    page.keyboard.press("Tab")
    page.keyboard.type("Poodle")
    page.keyboard.press("Enter")
    expect(find_card(page, "Rex")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    tab_to(page, "Delete Rex")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")

    expect(find_card(page, "Rex")).to_be_visible()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control with this name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.innerText") == name:
            return
    raise AssertionError(f"{name} is not reachable by Tab")
