"""A page goes on after every trouble between it and the service: each event is shown once, in order."""

from __future__ import annotations

import pytest

from tests.e2e.client.conftest import NewTab
from tests.e2e.client.service import Service, running_forgetful, until
from tests.e2e.client.site import Site


@pytest.mark.parametrize("transport", ["auto", "websocket", "long-polling", "polling"])
def test_a_killed_service_comes_back_and_the_page_gets_what_it_missed(
    service: Service, new_tab: NewTab, transport: str
) -> None:
    tab = new_tab().open(transport=transport, interval=100).settled()
    service.publish(tab.user, "1")
    tab.applied("1")
    service.kill()
    tab.becomes("reconnecting")
    service.publish(tab.user, "2", "3")
    service.start()
    tab.becomes("live")
    service.publish(tab.user, "4")
    tab.applied("1", "2", "3", "4")
    assert tab.noted("load") == [[]]


def test_a_deploy_loses_nothing(service: Service, new_tab: NewTab) -> None:
    tab = new_tab().open().settled()
    service.publish(tab.user, "1")
    tab.applied("1")
    service.drain()
    service.publish(tab.user, "2")
    service.start()
    tab.applied("1", "2")
    assert tab.noted("load") == [[]]


def test_502_from_a_proxy_is_not_the_end(service: Service, site: Site, new_tab: NewTab) -> None:
    tab = new_tab().open().settled()
    site.trouble.status = 502
    site.cut()
    tab.becomes("reconnecting")
    asked = site.asked[tab.user, "/events"]
    until(lambda: site.asked[tab.user, "/events"] >= asked + 2, "the page asks again after a 502")
    service.publish(tab.user, "1", "2")
    site.trouble.status = 0
    tab.becomes("live").applied("1", "2")
    assert tab.noted("load") == [[]]


def test_after_401_the_page_asks_for_a_new_session(service: Service, site: Site, new_tab: NewTab) -> None:
    tab = new_tab().open().settled()
    tab.page.context.clear_cookies(name="sse_session")
    site.cut()
    service.publish(tab.user, "1")
    tab.becomes("reconnecting").becomes("live").applied("1")
    assert len(tab.noted("session")) == 2
    assert tab.noted("load") == [[]]


def test_a_page_whose_token_expires_gets_a_new_one_and_goes_on(service: Service, site: Site, new_tab: NewTab) -> None:
    site.trouble.token_seconds = 2
    tab = new_tab().open().settled()
    service.publish(tab.user, "1")
    tab.applied("1")
    site.trouble.token_seconds = 3600
    tab.notes("stream.close")
    assert tab.noted("stream.close") == ["expired"]
    tab.becomes("live")
    service.publish(tab.user, "2")
    tab.applied("1", "2")
    assert tab.noted("user") == []
    assert tab.noted("load") == [[]]


def test_the_session_is_renewed_before_the_token_expires(service: Service, site: Site, new_tab: NewTab) -> None:
    site.trouble.token_seconds = site.trouble.told_seconds = 5
    tab = new_tab().open().settled()
    tab.notes("session", 2)
    assert tab.noted("stream.close") == []
    assert tab.noted("status") == ["connecting", "live"]


def test_a_service_that_stands_still_is_noticed(service: Service, site: Site, new_tab: NewTab) -> None:
    tab = new_tab().open().settled()
    service.publish(tab.user, "1")
    tab.applied("1")
    service.freeze()
    try:
        tab.becomes("reconnecting")
        service.publish(tab.user, "2")
    finally:
        service.thaw()
    tab.becomes("live").applied("1", "2")
    assert tab.noted("load") == [[]]


@pytest.mark.parametrize("transport", ["auto", "websocket"])
def test_a_network_that_vanishes_without_a_word_is_noticed(
    service: Service, site: Site, new_tab: NewTab, transport: str
) -> None:
    tab = new_tab().open(transport=transport).settled()
    site.network_vanishes()
    tab.becomes("reconnecting")
    service.publish(tab.user, "1", "2")
    site.network_returns()
    tab.becomes("live").applied("1", "2")
    assert tab.noted("load") == [[]]


def test_a_browser_that_goes_offline_and_returns_gets_what_it_missed(
    service: Service, site: Site, new_tab: NewTab
) -> None:
    tab = new_tab().open().settled()
    tab.page.context.set_offline(True)
    site.cut()
    tab.becomes("reconnecting")
    service.publish(tab.user, "1", "2")
    tab.page.context.set_offline(False)
    tab.becomes("live").applied("1", "2")
    assert tab.noted("load") == [[]]


def test_a_state_that_cannot_be_fetched_is_fetched_again_and_events_wait(
    service: Service, site: Site, new_tab: NewTab
) -> None:
    site.trouble.fails_to_load = True
    tab = new_tab().open().becomes("live")
    service.publish(tab.user, "1", "2")
    until(lambda: site.asked[tab.user, "/my/state"] >= 2, "the page fetches its state again")
    assert tab.noted("apply") == []
    site.trouble.fails_to_load = False
    tab.notes("load")
    tab.applied("1", "2")
    assert len(tab.noted("load")) == 1


def test_a_page_that_changes_how_it_listens_loses_and_doubles_nothing(service: Service, new_tab: NewTab) -> None:
    options = {"remember": True, "interval": 100}
    order = ["sse", "websocket", "long-polling", "polling", "sse", "long-polling", "websocket", "sse"]
    tab = new_tab().open(transport=order[0], **options).settled()
    seen = []
    for number, transport in enumerate(order[1:]):
        before, between, after = f"{number} before", f"{number} between", f"{number} after"
        service.publish(tab.user, before)
        tab.applied(*seen, before)
        tab.page.evaluate("push.close()")
        service.publish(tab.user, between)
        tab.page.evaluate(
            "options => void follow(options)", {"transport": transport, "remember": True, "interval": 100}
        )
        tab.becomes("live")
        service.publish(tab.user, after)
        seen += [before, between, after]
        tab.applied(*seen)
    assert tab.noted("load") == [[]]


def test_a_page_that_comes_back_by_long_polling_is_live_before_a_poll_could_wait(
    service: Service, new_tab: NewTab
) -> None:
    tab = new_tab().open(transport="long-polling").settled()
    tab.page.evaluate("push.reconnect()")
    # A poll that waits in vain is answered after 25 s.
    tab.page.wait_for_function("push.status === 'live'", timeout=20_000)


def test_every_tab_is_told_of_a_loss_and_fetches_its_state(service: Service, site: Site, new_tab: NewTab) -> None:
    with running_forgetful(site) as forgetful:
        tabs = [new_tab().open().settled() for _ in range(2)]
        forgetful.publish(tabs[0].user, "1")
        for tab in tabs:
            tab.applied("1")
        forgetful.kill()
        forgetful.start()
        for tab in tabs:
            tab.notes("load", 2)
        forgetful.publish(tabs[0].user, "2")
        for tab in tabs:
            tab.applied("1", "2")
            assert tab.noted("stream.gap") == ["epoch"]
            assert tab.noted("load") == [[], ["1"]]


def test_a_session_that_is_never_answered_is_asked_for_again(service: Service, site: Site, new_tab: NewTab) -> None:
    site.trouble.swallows_tokens = True
    tab = new_tab()
    tab.page.clock.install()
    tab.open()
    until(lambda: site.asked[tab.user, "/my/token"] == 1, "the page asks for its session")
    site.trouble.swallows_tokens = False
    tab.page.clock.fast_forward(90_000)
    until(lambda: site.asked[tab.user, "/my/token"] == 2, "the page asks for its session again")
    tab.settled()


def test_a_session_that_is_never_answered_later_is_asked_for_again(
    service: Service, site: Site, new_tab: NewTab
) -> None:
    tab = new_tab()
    tab.page.clock.install()
    tab.open().settled()
    service.publish(tab.user, "1")
    tab.applied("1")
    site.trouble.swallows_tokens = True
    tab.page.context.clear_cookies(name="sse_session")
    site.cut()
    asked = site.asked[tab.user, "/my/token"]
    until(lambda: site.asked[tab.user, "/my/token"] > asked, "the page asks for a session")
    site.trouble.swallows_tokens = False
    service.publish(tab.user, "2")
    tab.page.clock.fast_forward(90_000)
    tab.becomes("live").applied("1", "2")
