"""A user finds the service, chooses by a command who sees her, makes a token in two steps, and unregisters."""

from client import PATIENCE, http_text, run

SERVICE = "presence.localhost"


async def command(client, node, *forms):
    """Goes through a command, filling in one form after the other; the last answer."""
    commands = client["xep_0050"]
    answer = await commands.send_command(SERVICE, node, flow=False, timeout=PATIENCE)
    for number, values in enumerate(forms, start=1):
        form = answer["command"]["form"]
        assert form["type"] == "form", answer
        form["type"] = "submit"
        for name, value in values.items():
            assert name in form.get_fields(), f"{node} has no field {name}: {form}"
            form.get_fields()[name]["value"] = value
        action = "complete" if number == len(forms) else "next"
        session, payload = answer["command"]["sessionid"], [form]
        answer = await commands.send_command(
            SERVICE, node, action=action, payload=payload, sessionid=session, flow=False, timeout=PATIENCE
        )
    assert answer["command"]["status"] == "completed", answer
    return answer["command"]


async def choices(http, alice):
    for plugin in ("xep_0004", "xep_0050", "xep_0077"):
        alice.register_plugin(plugin)
    alice.send_presence(pshow="away", pstatus="Lunch")
    await alice.settle()
    listed = await alice["xep_0050"].get_commands(SERVICE, timeout=PATIENCE)
    nodes = sorted(node for _, node, _ in listed["disco_items"]["items"])
    assert nodes == ["address", "addresses", "token", "tokens", "visibility"], nodes

    assert http_text(http, alice.boundjid.bare) == "Lunch\n"
    await command(alice, "visibility", {"who": "nobody", "what": "status"})
    assert http_text(http, alice.boundjid.bare) == "Unavailable\n"

    made = await command(alice, "token", {"what": "status"}, {"days": "7", "label": "Blog"})
    token = made["form"].get_fields()["token"]["value"]
    assert http_text(http, alice.boundjid.bare, f"text&token={token}") == "Lunch\n"

    registration = alice["xep_0077"]
    shown = await registration.get_registration(jid=SERVICE, timeout=PATIENCE)
    assert shown["register"]["registered"], shown
    await registration.cancel_registration(jid=SERVICE, timeout=PATIENCE)
    assert http_text(http, alice.boundjid.bare) == "Lunch\n"
    assert http_text(http, alice.boundjid.bare, f"text&token={token}") == "Lunch\n", "anyone sees her again"


run(choices)
