"""The dogs in the React client: listed, found, added, changed by two at once, deleted and brought back."""

from __future__ import annotations

import re

import requests
from playwright.sync_api import Locator, Page, expect

from .factories import PASSWORD
from .react_client import NEEDS_NODE, Site, log_in, sign_up

pytestmark = NEEDS_NODE


def card(page: Page, name: str) -> Locator:
    """The dog of this name in the list."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name, exact=True))


def names(page: Page) -> list[str]:
    """The dogs of the list, from top to bottom."""
    return page.get_by_role("listitem").get_by_role("heading").all_inner_texts()


def fill_in(page: Page, **values: str) -> Locator:
    """Fill in the dialog for a dog, which is open."""
    dialog = page.get_by_role("dialog")
    for label, text in values.items():
        dialog.get_by_label(label.capitalize(), exact=True).fill(text)
    return dialog


def add_by_program(site: Site, client: requests.Session, count: int) -> None:
    """Some dogs, named so that their names sort as they were added."""
    for number in range(count):
        site.add_dog(client, name=f"Dog {number:03}", breed="Beagle" if number % 2 else "Poodle")


# --- One's own dogs, on both origins ---


def test_a_dog_is_added_edited_deleted_and_brought_back(any_site: Site, page: Page) -> None:
    sign_up(page, any_site, "Anna")
    page.goto(any_site.origin)
    expect(page.get_by_text("No dogs live here yet")).to_be_visible()

    page.get_by_role("button", name="Add a dog").first.click()
    fill_in(page, name="Rex", breed="Poodle").get_by_role("button", name="Add", exact=True).click()
    expect(card(page, "Rex")).to_contain_text("Anna")

    card(page, "Rex").get_by_role("button", name="Edit Rex").click()
    fill_in(page, name="Max").get_by_role("button", name="Save", exact=True).click()
    expect(card(page, "Max")).to_contain_text("Poodle")

    card(page, "Max").get_by_role("button", name="Delete Max").click()
    expect(card(page, "Max")).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "Max")).to_contain_text("Poodle")
    page.reload()
    expect(card(page, "Max")).to_be_visible()


def test_what_is_wrong_with_a_dog_stands_at_its_field(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.get_by_role("button", name="Add a dog").first.click()
    dialog = fill_in(page, name="x" * 81, breed="Poodle")
    dialog.get_by_role("button", name="Add", exact=True).click()

    expect(dialog.get_by_label("Name")).to_have_accessible_description(re.compile("Must be 1 to 80 characters"))
    expect(dialog.get_by_label("Breed")).to_have_value("Poodle")


def test_another_users_dog_can_be_seen_and_not_touched(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    sign_up(page, site, "Anna")

    expect(card(page, "Bello")).to_contain_text("Bob")
    expect(card(page, "Bello").get_by_role("button")).to_have_count(0)
    page.get_by_label("Mine only").click()
    expect(page.get_by_text("You have no dogs here yet")).to_be_visible()


def test_a_visitor_sees_the_dogs_and_no_way_to_change_them(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    page.goto(site.origin)

    expect(card(page, "Bello")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button", name=re.compile("Add|Edit|Delete"))).to_have_count(0)


# --- Two at once ---


def test_a_stale_edit_shows_both_versions_and_mine_can_be_saved(any_site: Site, page: Page) -> None:
    dog, elsewhere = edit_stale(any_site, page)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("changed meanwhile")
    expect(dialog).to_contain_text("Saved elsewhere")
    # What only they have changed is taken over; what both have changed is mine, until I decide.
    expect(dialog.get_by_label("Breed, yours")).to_have_value("Beagle")
    expect(dialog.get_by_label("Name, yours")).to_have_value("Mine")

    dialog.get_by_role("button", name="Save mine").click()

    expect(dialog).to_be_hidden()
    expect(card(page, "Mine")).to_contain_text("Beagle")
    assert read(any_site, elsewhere, dog["id"])["name"] == "Mine"


def test_a_stale_edit_can_be_given_up_for_theirs(site: Site, page: Page) -> None:
    dog, elsewhere = edit_stale(site, page)

    page.get_by_role("dialog").get_by_role("button", name="Keep theirs").click()

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(card(page, "Saved elsewhere")).to_contain_text("Beagle")
    assert read(site, elsewhere, dog["id"])["name"] == "Saved elsewhere"


def edit_stale(site: Site, page: Page) -> tuple[dict, requests.Session]:
    """Anna saves a dog that she has changed elsewhere while she edited it: the dog, and the program that changed it."""
    elsewhere = site.register("Anna")
    dog = site.add_dog(elsewhere, name="Rex")
    page.goto(f"{site.origin}/login")
    log_in(page, "Anna")
    card(page, "Rex").get_by_role("button", name="Edit Rex").click()
    dialog = fill_in(page, name="Mine")
    theirs = {"name": "Saved elsewhere", "breed": "Beagle"}
    assert elsewhere.patch(f"{site.server.url}/api/v1/dogs/{dog['id']}", json=theirs, timeout=30).ok
    dialog.get_by_role("button", name="Save", exact=True).click()
    return dog, elsewhere


def read(site: Site, client: requests.Session, dog_id: int) -> dict:
    """A dog, as the API has it."""
    return client.get(f"{site.server.url}/api/v1/dogs/{dog_id}", timeout=30).json()["data"]


def test_a_dog_that_was_deleted_meanwhile_can_be_added_again_as_it_was_edited(site: Site, page: Page) -> None:
    elsewhere = site.register("Anna")
    dog = site.add_dog(elsewhere, name="Rex")
    page.goto(f"{site.origin}/login")
    log_in(page, "Anna")
    card(page, "Rex").get_by_role("button", name="Edit Rex").click()
    dialog = fill_in(page, name="Max")
    assert elsewhere.delete(f"{site.server.url}/api/v1/dogs/{dog['id']}", timeout=30).ok
    dialog.get_by_role("button", name="Save", exact=True).click()

    expect(dialog).to_contain_text("deleted meanwhile")
    dialog.get_by_role("button", name="Add it again").click()

    expect(card(page, "Max")).to_be_visible()


# --- Finding ---


def test_the_list_goes_on_as_one_scrolls_and_shows_each_dog_once(site: Site, page: Page) -> None:
    add_by_program(site, site.register("Bob"), 120)
    page.goto(f"{site.origin}/?sort=name")
    expect(card(page, "Dog 000")).to_be_visible()
    assert len(names(page)) < 120

    for _ in range(3):
        page.get_by_role("listitem").last.scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")

    expect(page.get_by_text(re.compile("^120 dogs"))).to_be_visible()
    assert names(page) == [f"Dog {number:03}" for number in range(120)]


def test_search_filter_and_sort_stand_in_the_address(site: Site, page: Page) -> None:
    bob = site.register("Bob")
    for name, breed, owner in (("Rex", "Poodle", "Bob"), ("Ada", "Poodle", "Zoe"), ("Bello", "Beagle", "Zoe")):
        site.add_dog(bob, name=name, breed=breed, owner=owner)
    page.goto(site.origin)
    expect(card(page, "Rex")).to_be_visible()

    page.get_by_label("Sort by").select_option("Name, A to Z")
    expect(page.get_by_role("listitem").first).to_contain_text("Ada")
    page.get_by_label("Search").fill("poo")
    expect(card(page, "Bello")).to_be_hidden()
    card(page, "Ada").get_by_role("link", name="Zoe").click()
    expect(page.get_by_text(re.compile("^1 dog\\b"))).to_be_visible()
    page.reload()

    expect(page.get_by_label("Owner", exact=True)).to_have_value("Zoe")
    expect(page.get_by_label("Search")).to_have_value("poo")
    assert names(page) == ["Ada"]
    page.get_by_role("link", name="Clear all filters").click()
    expect(page.get_by_role("listitem")).to_have_count(3)
    page.go_back()
    expect(page.get_by_role("listitem")).to_have_count(1)


def test_a_search_that_finds_nothing_says_so_and_leads_back(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    page.goto(f"{site.origin}/?q=nothing")

    expect(page.get_by_text("No dog is quite like that")).to_be_visible()
    page.get_by_role("link", name="Show all dogs").click()
    expect(card(page, "Bello")).to_be_visible()


# --- When something ends or breaks in between ---


def test_a_dog_that_was_filled_in_when_the_session_ended_is_still_there_after_the_login(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.get_by_role("button", name="Add a dog").first.click()
    dialog = fill_in(page, name="Rex", breed="Poodle")
    page.context.clear_cookies()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Your session has ended")).to_be_visible()

    log_in(page, "Anna", PASSWORD)
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()

    expect(card(page, "Rex")).to_be_visible()


def test_a_dog_that_could_not_be_sent_stays_in_its_form(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    page.get_by_role("button", name="Add a dog").first.click()
    dialog = fill_in(page, name="Rex", breed="Poodle")
    site.server.kill()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("No connection")
    expect(dialog.get_by_label("Name")).to_have_value("Rex")

    site.server.start()
    dialog.get_by_role("button", name="Try again").click()

    expect(card(page, "Rex")).to_be_visible()


def test_a_list_that_could_not_be_read_comes_by_itself_when_the_server_is_back(site: Site, page: Page) -> None:
    site.add_dog(site.register("Bob"), name="Bello")
    page.goto(f"{site.origin}/login")
    site.server.kill()
    page.get_by_role("navigation").get_by_role("link", name="Dogs").click()
    expect(page.get_by_text("No connection. Trying again")).to_be_visible()

    site.server.start()

    expect(card(page, "Bello")).to_be_visible(timeout=30_000)


# --- By keyboard alone ---


def test_a_dog_can_be_added_edited_and_deleted_by_keyboard_alone(site: Site, page: Page) -> None:
    sign_up(page, site, "Anna")
    expect(page.get_by_role("button", name="Add a dog").first).to_be_visible()

    tab_to(page, "Add a dog")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
    page.keyboard.type("Rex")
    page.keyboard.press("Tab")
    page.keyboard.type("Poodle")
    page.keyboard.press("Enter")
    expect(card(page, "Rex")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    tab_to(page, "Delete Rex")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")

    expect(card(page, "Rex")).to_be_visible()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control of this name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.innerText") == name:
            return
    raise AssertionError(f"{name} can't be reached by Tab")
