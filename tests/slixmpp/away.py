"""A user logs in, goes away, and a web page shows it; then logs out, and it shows that too."""

from client import http_text, run


async def away(http, alice):
    jid = alice.boundjid.bare
    assert http_text(http, jid) == "Unavailable\n"

    alice.send_presence(pshow="away", pstatus="Lunch")
    await alice.settle()
    assert http_text(http, jid) == "Lunch\n"
    assert "<show>away</show>" in http_text(http, jid, "xml")

    info = await alice["xep_0030"].get_info(alice.boundjid.domain)
    assert "urn:xmpp:ping" in info["disco_info"]["features"]

    alice.send_presence(ptype="unavailable", pstatus="Gone home")
    await alice.settle()
    assert http_text(http, jid) == "Gone home\n"


run(away)
