// What the plugin's own page can do beside what it does without: whole addresses, buttons to copy, answers in place, and pictures that follow.
"use strict";

const origin = location.origin;

// An address of this server becomes one that can be used from another site.
const whole = (text) => text.replaceAll("/plugins/presence/", origin + "/plugins/presence/");

// What a long text may be broken behind: the parts of an address and the fields of an object, not the middle of a word.
const PART = /\w[\/?,](?=["\w])|",(?=["\w])|\w(?=[&%])/g;

function parts(text) {
  const ends = Array.from(text.matchAll(PART), (part) => part.index + part[0].length);
  return [...ends, text.length].map((end, index) => text.slice(ends[index - 1] ?? 0, end));
}

function write(code, text) {
  code.replaceChildren(...parts(text).flatMap((part) => [part, document.createElement("wbr")]));
}

for (const code of document.querySelectorAll("pre code")) write(code, whole(code.textContent));
for (const hint of document.querySelectorAll("p.hint")) {
  if (hint.textContent.startsWith("On another site")) hint.remove();
}

for (const pre of document.querySelectorAll("[data-copy]")) {
  const box = document.createElement("div");
  const button = document.createElement("button");
  box.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy " + pre.dataset.copy);
  pre.replaceWith(box);
  box.append(pre, button);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(pre.dataset.command ?? pre.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(pre);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

async function answer(pre) {
  const reply = await fetch(pre.dataset.answer, { cache: "no-cache" });
  const command = pre.dataset.command ??= pre.textContent;
  const text = await reply.text();
  if (reply.ok) write(pre.firstChild, "$ " + command + "\n" + text.trimEnd());
}

// Shows what is shown now. A picture that is asked for again by the same address would be the one that is there.
function renew() {
  for (const pre of document.querySelectorAll("[data-answer]")) answer(pre).catch(() => {});
  for (const picture of document.querySelectorAll("img[data-live]")) {
    const address = new URL(picture.src);
    address.searchParams.set("at", Date.now());
    picture.src = address;
  }
}

function told({ jid, state, status, stale }) {
  const who = jid ?? "this address";
  if (stale) return "It is not known now how " + who + " is. This page asks again.";
  if (state === "forbidden") return "Nothing is shown of " + who + ": there is no such user, or not for you to see. This page follows.";
  return who + " is " + state + (status ? ": " + status : "") + ". This page follows.";
}

// The icon that follows hears of each change, and needs no other stream than it has.
document.querySelector("presence-icon")?.addEventListener("presence", (event) => {
  document.querySelector("[role=status]").textContent = told(event.detail);
  renew();
});
