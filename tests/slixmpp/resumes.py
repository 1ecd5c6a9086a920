"""A user's connection breaks; the client comes back to its session and gets what was sent meanwhile."""

import sys

from client import run


async def resumes(http, alice, bob):
    alice.send_presence()
    await alice.settle()

    gone = alice.expect("disconnected")
    alice.transport.abort()
    await gone
    bob.send_message(mto=alice.boundjid.bare, mbody="meanwhile", mtype="chat")
    await bob.settle()

    resumed, message = alice.expect("session_resumed"), alice.expect("message")
    host, port = sys.argv[1].rsplit(":", 1)
    alice.connect(host, int(port))
    await resumed
    assert (await message)["body"] == "meanwhile"


run(resumes)
