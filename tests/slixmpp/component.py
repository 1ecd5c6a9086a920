"""A component of slixmpp and a user talk, see each other, and the web sees the component."""

import asyncio
import sys

import slixmpp
from client import Client, http_text, PATIENCE


class Echo(slixmpp.ComponentXMPP):
    """Sends messages back, and says that it is away to whoever asks."""

    def __init__(self, domain, secret, server):
        host, port = server.rsplit(":", 1)
        super().__init__(domain, secret, host, int(port))
        self.auto_authorize, self.auto_subscribe = True, False
        self.add_event_handler("message", lambda message: message.reply("echo: " + message["body"]).send())
        self.add_event_handler("presence_probe", self.tell)

    def tell(self, probe):
        self.send_presence(pto=probe["from"], pfrom=self.boundjid.bare, pshow="away", pstatus="Echoing")


async def main(xmpp, http, certificate, jid, password, components, domain, secret):
    echo = Echo(domain, secret, components)
    connected = asyncio.ensure_future(echo.wait_until("session_start", timeout=PATIENCE))
    echo.connect()
    await connected

    alice = Client(jid, password, certificate)
    await alice.log_in(xmpp)
    alice.send_presence()
    answer = alice.expect("message")
    alice.send_message(mto=domain, mbody="hello", mtype="chat")
    assert (await answer)["body"] == "echo: hello"

    subscribed = alice.expect("presence_subscribed")
    alice.send_presence(pto=domain, ptype="subscribe")
    assert (await subscribed)["from"].bare == domain

    shown = await asyncio.to_thread(http_text, http, domain)
    assert shown == "Echoing\n", shown
    await asyncio.gather(alice.disconnect(), echo.disconnect())


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 2 * PATIENCE))
