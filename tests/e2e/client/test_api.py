"""The client does what its page says, also if the page says it late or while it is told of something."""

from __future__ import annotations

from tests.e2e.client.conftest import NewTab
from tests.e2e.client.service import Service, until
from tests.e2e.client.site import Site


def test_a_client_may_be_given_only_an_address(service: Service, site: Site, new_tab: NewTab) -> None:
    tab = new_tab().open().settled()
    tab.page.evaluate("push.close()")
    tab.page.evaluate(
        """async () => {
          const { PushClient } = await import("/client.js");
          window.push = new PushClient("/other/events");
        }"""
    )
    until(lambda: site.asked[tab.user, "/other/events/poll"] > 0, "the client asks this address who its user is")
    tab.page.evaluate("push.close()")


def test_a_page_that_closes_the_client_while_it_is_told_of_something_hears_no_more(
    service: Service, site: Site, new_tab: NewTab
) -> None:
    tab = new_tab().open().settled()
    tab.page.evaluate("push.addEventListener('stream.close', () => push.close())")
    site.trouble.token_seconds = 2
    tab.page.evaluate("push.reconnect()")
    tab.notes("stream.close")
    site.trouble.token_seconds = 3600
    until(lambda: site.streams[tab.user] == 0, "the stream is closed")
    assert tab.noted("status")[-1] == "closed"
    assert tab.status == "closed"


def test_listeners_that_are_added_later_are_subscribed_by_one_new_connection(
    service: Service, site: Site, new_tab: NewTab
) -> None:
    tab = new_tab().open().settled()
    tab.page.evaluate("['a', 'b', 'c', 'd'].forEach((type) => push.addEventListener(type, () => {}))")
    until(lambda: site.asked[tab.user, "/events"] == 2, "the page connects anew")
    tab.becomes("live")
    service.publish(tab.user, "1")
    tab.applied("1")
    assert len(tab.noted("session")) == 2
