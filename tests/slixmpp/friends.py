"""Two users become friends by the handshake that slixmpp does on its own, see each other and talk."""

from client import run


async def friends(_http, alice, bob):
    for user in (alice, bob):
        user.send_presence()
        await user.settle()
    # slixmpp's default: every request is granted and returned.
    seen = alice.expect("got_online")
    alice.send_presence_subscription(pto=bob.boundjid.bare)
    assert (await seen)["from"].bare == bob.boundjid.bare

    changed = alice.expect("changed_status")
    bob.send_presence(pshow="dnd", pstatus="deep in it")
    presence = await changed
    while presence["status"] != "deep in it":
        presence = await alice.expect("changed_status")
    assert presence["show"] == "dnd"

    talked = bob.expect("message")
    alice.send_message(mto=bob.boundjid.bare, mbody="hello ☕")
    message = await talked
    assert (message["from"], message["body"]) == (alice.boundjid, "hello ☕")

    # slixmpp names the version of the roster it knows: what changed since then has reached it by pushes.
    await alice.get_roster()
    assert alice.client_roster[bob.boundjid.bare]["subscription"] == "both"


run(friends)
