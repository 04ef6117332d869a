"""All tabs of a browser share one connection, and each event is shown once in each of them."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.e2e.client.conftest import NewTab, sign_in
from tests.e2e.client.service import Service, until
from tests.e2e.client.site import Site

TIMES_20 = """{
  const real = window.setTimeout;
  window.setTimeout = (task, ms, ...rest) => real(task, ms >= 5000 ? ms / 20 : ms, ...rest);
}"""


def one_stream(service: Service, site: Site, user: str) -> None:
    until(lambda: site.streams[user] == 1, "the user has one stream")
    service.chain.wait_for_metric("sse_streams_open", 1)


def test_ten_tabs_hold_one_connection(service: Service, site: Site, new_tab: NewTab) -> None:
    tabs = [new_tab().open() for _ in range(10)]
    for tab in tabs:
        tab.settled()
    one_stream(service, site, tabs[0].user)
    texts = [str(number) for number in range(20)]
    service.publish(tabs[0].user, *texts)
    for tab in tabs:
        tab.applied(*texts)
    assert site.asked[tabs[0].user, "/events"] == 1


def test_another_tab_takes_over_from_a_closed_leader(service: Service, site: Site, new_tab: NewTab) -> None:
    tabs = [new_tab().open().settled() for _ in range(4)]
    user = tabs[0].user
    seen = []
    for number in range(3):
        leader = tabs[0]  # the tab that waits longest gets the lock
        service.publish(user, f"{number} before")
        for tab in tabs:
            tab.applied(*seen, f"{number} before")
        service.publish(user, f"{number} during")
        leader.page.close()
        tabs.remove(leader)
        service.publish(user, f"{number} after")
        seen += [f"{number} before", f"{number} during", f"{number} after"]
        for tab in tabs:
            tab.applied(*seen)
            assert len(tab.noted("load")) == 1
    one_stream(service, site, user)


def test_another_tab_takes_over_from_a_frozen_leader(service: Service, site: Site, new_tab: NewTab) -> None:
    leader = new_tab().open().settled()
    others = [new_tab() for _ in range(2)]
    for tab in others:
        tab.page.add_init_script(TIMES_20)
        tab.open().settled()
    user = leader.user
    service.publish(user, "1")
    for tab in (leader, *others):
        tab.applied("1")
    leader.freeze()
    until(lambda: site.frozen, "the leader is frozen")
    service.publish(user, "2")
    for tab in others:
        tab.applied("1", "2")
    service.publish(user, "3")
    for tab in others:
        tab.applied("1", "2", "3")
    site.thaw()
    service.publish(user, "4")
    for tab in others:
        tab.applied("1", "2", "3", "4")
        assert len(tab.noted("load")) == 1
    leader.applied("1", "2", "3", "4")
    one_stream(service, site, user)


def test_a_tab_that_the_browser_freezes_hands_over_and_resumes(service: Service, site: Site, new_tab: NewTab) -> None:
    leader, other = (new_tab().open().settled() for _ in range(2))
    service.publish(leader.user, "1")
    leader.applied("1")
    # As a browser does that freezes a tab. No tool freezes a visible one, and a browser without a screen hides none.
    leader.page.evaluate("void document.dispatchEvent(new Event('freeze'))")
    leader.freeze()
    until(lambda: site.frozen, "the leader is frozen")
    service.publish(leader.user, "2", "3")
    other.applied("1", "2", "3")
    site.thaw()
    leader.page.evaluate("void document.dispatchEvent(new Event('resume'))")
    leader.notes("load", 2)  # it was away, so another tab tells it that it has missed events
    assert leader.noted("load")[1] == ["1", "2", "3"]
    service.publish(leader.user, "4")
    other.applied("1", "2", "3", "4")
    leader.applied("1", "4")
    assert len(other.noted("load")) == 1
    one_stream(service, site, leader.user)


def test_a_follower_that_was_frozen_has_missed_nothing(service: Service, site: Site, new_tab: NewTab) -> None:
    leader, other = (new_tab().open().settled() for _ in range(2))
    other.freeze()
    until(lambda: site.frozen, "the other tab is frozen")
    service.publish(leader.user, "1", "2")
    leader.applied("1", "2")
    site.thaw()
    other.applied("1", "2")
    service.publish(leader.user, "3")
    other.applied("1", "2", "3")
    assert len(other.noted("load")) == 1


def test_tabs_of_one_browser_survive_a_restart_together(service: Service, site: Site, new_tab: NewTab) -> None:
    tabs = [new_tab().open().settled() for _ in range(3)]
    service.publish(tabs[0].user, "1")
    for tab in tabs:
        tab.applied("1")
    service.kill()
    for tab in tabs:
        tab.becomes("reconnecting")
    service.publish(tabs[0].user, "2")
    service.start()
    for tab in tabs:
        tab.becomes("live").applied("1", "2")
        assert len(tab.noted("load")) == 1
    one_stream(service, site, tabs[0].user)


def test_a_tab_that_is_opened_later_fetches_its_state_and_follows(
    service: Service, site: Site, new_tab: NewTab
) -> None:
    first = new_tab().open().settled()
    service.publish(first.user, "1")
    first.applied("1")
    second = new_tab().open().settled()
    assert second.noted("load") == [["1"]]
    service.publish(first.user, "2")
    second.applied("2")
    first.applied("1", "2")


def test_a_sign_out_in_one_tab_closes_all(
    service: Service, site: Site, new_tab: NewTab, profile: BrowserContext
) -> None:
    tabs = [new_tab().open().settled() for _ in range(3)]
    profile.clear_cookies(name="app_user")
    tabs[2].page.evaluate("push.reconnect()")
    for tab in tabs:
        tab.becomes("closed")
        assert tab.noted("user") == [None]
    until(lambda: site.streams[tabs[0].user] == 0, "the stream is closed")


def test_another_user_in_one_tab_closes_the_others_and_neither_sees_the_others_events(
    service: Service, site: Site, new_tab: NewTab, profile: BrowserContext
) -> None:
    tabs = [new_tab().open().settled() for _ in range(2)]
    user, another = tabs[0].user, f"{tabs[0].user}-another"
    service.publish(user, "1")
    for tab in tabs:
        tab.applied("1")
    sign_in(profile, site, another)
    third = new_tab().open().settled()
    for tab in tabs:
        tab.becomes("closed")
        assert tab.noted("user") == [another]
    service.publish(user, "secret")
    service.publish(another, "2")
    third.applied("2")
    for tab in tabs:
        tab.applied("1")
    until(lambda: site.streams[user] == 0, "the first user's stream is closed")


def test_two_users_of_one_browser_share_nothing(
    service: Service, site: Site, new_tab: NewTab, profile: BrowserContext
) -> None:
    """A page may be told late that its user has gone: here it sleeps while another one signs in."""
    first = new_tab().open().settled()
    user, another = first.user, f"{first.user}-another"
    first.freeze()
    until(lambda: site.frozen, "the first tab is frozen")
    sign_in(profile, site, another)
    second = new_tab().open().settled()
    service.publish(user, "secret")
    service.publish(another, "1")
    second.applied("1")
    site.thaw()
    first.becomes("closed")
    assert "1" not in first.noted("apply")
    assert second.noted("apply") == ["1"]


def test_a_page_that_a_reload_remembers_gets_what_came_meanwhile(service: Service, site: Site, new_tab: NewTab) -> None:
    tab = new_tab().open(remember=True).settled()
    service.publish(tab.user, "1")
    tab.applied("1")
    tab.page.goto(f"{site.origin}/other")
    until(lambda: site.streams[tab.user] == 0, "the page has left its stream")
    service.publish(tab.user, "2", "3")
    tab.open(remember=True).becomes("live")
    service.publish(tab.user, "4")
    tab.applied("2", "3", "4")
    assert tab.noted("load") == []


def go(page: Page, where: str) -> Any:
    """Go through the history. A page from the back/forward cache fires no ``load``, for which Playwright waits."""
    return page.evaluate(f"void setTimeout(() => history.{where}())")


def test_a_page_in_the_back_forward_cache_holds_no_stream_and_resumes(
    service: Service, site: Site, new_tab: NewTab, browser: Browser
) -> None:
    tab = new_tab().open().settled()
    tab.page.evaluate("addEventListener('pageshow', ({ persisted }) => noted.push(['persisted', persisted]))")
    service.publish(tab.user, "1")
    tab.applied("1")
    tab.page.goto(f"{site.origin}/other")
    until(lambda: site.streams[tab.user] == 0, "the page in the cache has no stream")
    service.chain.wait_for_metric("sse_streams_open", 0)
    service.publish(tab.user, "2")
    go(tab.page, "back")
    if browser.browser_type.name == "firefox":
        # Firefox does not keep a page that leaves a stream open, even one that closes it when it is hidden.
        tab.settled()
        assert tab.noted("load") == [["1", "2"]]
        return
    tab.wait_for("said => window.noted?.some(([k, persisted]) => k === said && persisted)", "persisted")
    tab.becomes("live").applied("1", "2")
    service.publish(tab.user, "3")
    tab.applied("1", "2", "3")
    assert len(tab.noted("load")) == 1
    one_stream(service, site, tab.user)


@pytest.mark.parametrize("count", [1, 2])
def test_a_proxy_that_holds_streams_back_gets_long_polls_until_it_is_changed(
    service: Service, site: Site, new_tab: NewTab, count: int
) -> None:
    site.trouble.holds_streams_back = True
    tabs = [new_tab() for _ in range(count)]
    tabs[0].page.clock.install()
    for tab in tabs:
        tab.open()
    user = tabs[0].user
    until(lambda: site.streams[user] == 1, "a page has asked for a stream")
    tabs[0].page.clock.fast_forward(8000)
    for tab in tabs:
        tab.settled()
    assert site.asked[user, "/events/poll"] >= 1
    service.publish(user, "1", "2")
    for tab in tabs:
        tab.applied("1", "2")
    site.trouble.holds_streams_back = False
    before = site.asked[user, "/events"]
    tabs[0].page.clock.fast_forward(60_000)
    until(lambda: site.asked[user, "/events"] > before, "a stream is tried again")
    one_stream(service, site, user)
    polls = site.asked[user, "/events/poll"]
    service.publish(user, "3", "4")
    for tab in tabs:
        tab.applied("1", "2", "3", "4")
        assert len(tab.noted("load")) == 1
    assert site.asked[user, "/events/poll"] == polls
