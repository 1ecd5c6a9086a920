"""What the scripts share: a client that logs in, and a script that fails by its exit code when it takes too long."""

import asyncio
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

import slixmpp

PATIENCE = 30


class Client(slixmpp.ClientXMPP):
    """An ordinary client, which trusts one certificate and checks that it is the domain's."""

    def __init__(self, jid, password, certificate):
        super().__init__(jid, password)
        self.ca_certs = Path(certificate)
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0198")
        self.register_plugin("xep_0199")

    def expect(self, event):
        """A future of the next `event`."""
        return asyncio.ensure_future(self.wait_until(event, timeout=PATIENCE))

    async def log_in(self, server):
        """Connects and returns once the session is up and the roster is there."""
        host, port = server.rsplit(":", 1)
        started, refused = self.expect("session_start"), self.expect("failed_all_auth")
        self.connect(host, int(port))
        await asyncio.wait([started, refused], return_when=asyncio.FIRST_COMPLETED)
        assert not refused.done(), f"the server refused {self.boundjid}"
        refused.cancel()
        await started
        await self.get_roster()

    async def settle(self):
        """Returns once the server has processed everything sent so far."""
        await self["xep_0199"].send_ping(self.boundjid.domain, timeout=PATIENCE)


def http_text(server, jid, kind="text"):
    """What a web page would read about `jid`."""
    url = f"http://{server}/plugins/presence/status?type={kind}&jid={quote(jid)}"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def run(script):
    """Runs `script(http, *clients)` by the command line: two addresses, a certificate, then JIDs and passwords."""
    xmpp, http, certificate, *users = sys.argv[1:]

    async def main():
        clients = [Client(jid, password, certificate) for jid, password in zip(users[::2], users[1::2])]
        for client in clients:
            await client.log_in(xmpp)
        await script(http, *clients)
        await asyncio.gather(*(client.disconnect() for client in clients))

    asyncio.run(asyncio.wait_for(main(), 2 * PATIENCE))
