// <presence-icon jid="alice@example.com" theme="dark" size="24"></presence-icon>: an icon that follows a user, by one event stream (for
// 50 users each) or, where streams fail, by asking every 20 s. With req_jid or token in this script's address no page of another
// origin may read what is told: there the icons are pictures, asked for anew. MIT or Apache-2.0.
(() => {
  'use strict';
  if (customElements.get('presence-icon')) return;
  const script = document.currentScript || document.querySelector('script[src*="presence/widget.js"]');
  const own = new URL(script.src);
  const base = new URL('.', own).href;
  const blind = own.origin !== location.origin && /[?&](req_jid|token)=/.test(own.search);
  const PAUSE = 20000, SHARE = 50;
  const WORDS = { available: 'available', chat: 'free to talk', away: 'away', xa: 'away for long',
    dnd: 'do not disturb', offline: 'offline', forbidden: 'not shown' };

  const icons = new Map(); // by user: the elements
  const shown = new Map(); // by user: the last object told
  let streams = [], planned, polling, asked = 0;

  // As the server writes a bare JID, but for rare letters.
  const userOf = (element) => (element.getAttribute('jid') || '').trim().split('/')[0].toLowerCase();

  function enter(element) {
    const user = userOf(element);
    element.user = user;
    if (!icons.has(user)) icons.set(user, new Set()), plan();
    icons.get(user).add(element);
    paint(element);
  }

  function leave(element) {
    const all = icons.get(element.user);
    if (!all || !all.delete(element) || all.size) return;
    icons.delete(element.user);
    shown.delete(element.user);
    plan();
  }

  function paint(element) {
    const told = shown.get(element.user), state = told ? told.state : 'offline';
    const size = Math.min(256, Math.max(16, parseInt(element.getAttribute('size'), 10) || 16));
    const theme = element.getAttribute('theme') || 'default';
    const label = element.user + (told ? ': ' + (WORDS[state] || state) + (told.status ? ', ' + told.status : '') : '');
    const { link, image } = element.parts;
    const where = blind ? `users/${encodeURIComponent(element.user)}/icon.svg${own.search}&at=${Math.floor(Date.now() / PAUSE)}&`
      : `icons/${state}.svg?`;
    image.src = `${base}v1/${where}theme=${encodeURIComponent(theme)}&size=${size}`;
    image.width = image.height = size;
    image.alt = image.title = label;
    image.setAttribute('aria-label', label);
    link.href = 'xmpp:' + element.user.split('@').map(encodeURIComponent).join('@');
    if (told) element.setAttribute('state', state);
    else element.removeAttribute('state');
  }

  function tell(user, object) {
    if (!icons.has(user)) return;
    shown.set(user, object);
    for (const element of icons.get(user)) {
      paint(element);
      element.dispatchEvent(new CustomEvent('presence', { detail: object, bubbles: true }));
    }
  }

  // Icons come and go many at a time.
  function plan() {
    clearTimeout(planned);
    planned = setTimeout(connect, 30);
  }

  function stop() {
    streams.forEach((stream) => stream.close());
    clearTimeout(polling);
    streams = [];
    asked++;
  }

  function shares(path) {
    const users = [...icons.keys()].filter(Boolean), all = [];
    for (let at = 0; at < users.length; at += SHARE) {
      const share = users.slice(at, at + SHARE), query = new URLSearchParams(own.search);
      share.forEach((user) => query.append('jid', user));
      all.push({ share, address: `${base}v1/${path}?${query}` });
    }
    return all;
  }

  function connect() {
    stop();
    if (document.hidden || !icons.size) return;
    if (blind) return look();
    if (!window.EventSource) return poll(1);
    const turn = asked;
    for (const { address } of shares('events')) {
      const stream = new EventSource(address);
      // One that was refused does not try again by itself; one that nobody lets through never opens.
      const fail = () => turn === asked && stream.readyState !== 1 && (stop(), poll(6));
      stream.onerror = () => stream.readyState === 2 && fail();
      stream.addEventListener('presence', (event) => {
        const object = JSON.parse(event.data);
        tell(object.jid, object);
      });
      setTimeout(fail, PAUSE);
      streams.push(stream);
    }
  }

  function look() {
    icons.forEach((all) => all.forEach(paint));
    polling = setTimeout(connect, PAUSE);
  }

  // Asks so often, then tries a stream again.
  async function poll(times) {
    const turn = asked;
    for (const { share, address } of shares('presence')) {
      try {
        const answer = await fetch(address, { credentials: 'omit' });
        if (turn !== asked) return;
        if (answer.ok) (await answer.json()).users.forEach((object, index) => tell(share[index], object));
      } catch (error) { /* The next one may get through. */ }
    }
    if (turn === asked) polling = setTimeout(() => (times > 1 || !window.EventSource ? poll(times - 1) : connect()), PAUSE);
  }

  document.addEventListener('visibilitychange', connect);
  addEventListener('pagehide', stop);
  addEventListener('pageshow', (event) => event.persisted && connect());

  customElements.define('presence-icon', class extends HTMLElement {
    static observedAttributes = ['jid', 'theme', 'size'];

    connectedCallback() {
      if (!this.parts) {
        const link = document.createElement('a'), image = document.createElement('img');
        image.setAttribute('role', 'img');
        link.setAttribute('part', 'link');
        image.setAttribute('part', 'icon');
        link.append(image);
        this.attachShadow({ mode: 'open' }).append(link);
        this.parts = { link, image };
      }
      enter(this);
    }

    disconnectedCallback() {
      leave(this);
    }

    attributeChangedCallback(name) {
      if (!this.isConnected || !this.parts) return;
      if (name === 'jid') leave(this), enter(this);
      else paint(this);
    }
  });
})();
