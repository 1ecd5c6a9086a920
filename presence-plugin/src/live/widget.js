/* <presence-icon jid="alice@example.com" theme="dark" size="24"></presence-icon>: an icon that follows a user. MIT or Apache-2.0. */
// One page of a site leads: it has a stream, of 50 users at most, and passes on what the other pages want to hear, because a browser has six
// connections to a server (HTTP/1.1), for all pages together. Whoever no stream tells of is asked about. With req_jid or token in this script's
// address no page of another origin may read what is told: there the icons are pictures, asked for anew.
(() => {
  'use strict';
  if (customElements.get('presence-icon')) return;
  const own = new URL((document.currentScript || document.querySelector('script[src*="presence/widget.js"]')).src);
  const base = new URL('v1/', own).href;
  const blind = own.origin !== location.origin && /[?&](req_jid|token)=/.test(own.search);
  const PAUSE = 20000, SHARE = 50;
  const WORDS = { available: 'available', chat: 'free to talk', away: 'away', xa: 'away for long',
    dnd: 'do not disturb', offline: 'offline', forbidden: 'not shown' };

  // By user: the elements, the last object told, and what a stream has told: this page's, or that of the page which leads.
  const icons = new Map(), shown = new Map(), heard = new Map();
  // The users of other pages, while this one leads.
  const wanted = new Set();
  // Of two that lead the greater one stays.
  const id = Math.random();
  let channel, stream, timer, leads, isLed, tries = 0, resting = 0;

  function paint(element) {
    const { user, link, image } = element, { state, status, stale } = shown.get(user) || {};
    const size = Math.min(256, Math.max(16, parseInt(element.getAttribute('size')) || 16));
    const theme = /^(dark|contrast)$/.exec(element.getAttribute('theme'))?.[0] || 'default';
    const where = blind ? `users/${encodeURIComponent(user)}/icon.svg${own.search}&at=${Math.floor(Date.now() / PAUSE)}&`
      : `icons/${state || 'offline'}.svg?`;
    const words = (stale ? 'not known now, last ' : '') + WORDS[state] + (status ? ', ' + status.replace(/^(.{100}).+/su, '$1…') : '');
    image.src = `${base}${where}theme=${theme}&size=${size}`;
    image.width = image.height = size;
    image.alt = image.title = state ? `${user}: ${words}` : user;
    image.style.opacity = stale ? 0.5 : '';
    link.href = 'xmpp:' + user.split('@').map(encodeURIComponent).join('@');
    link.hidden = !user;
    if (state && !stale) element.setAttribute('state', state);
    else element.removeAttribute('state');
  }

  function tell(user, object) {
    if (!icons.has(user) || JSON.stringify(object) === JSON.stringify(shown.get(user))) return;
    shown.set(user, object);
    for (const element of icons.get(user)) {
      paint(element);
      element.dispatchEvent(new CustomEvent('presence', { detail: object, bubbles: true }));
    }
  }

  // There is only one thing to do next. Not all pages do it at once.
  function later(act, time) {
    clearTimeout(timer);
    timer = setTimeout(act, time * (0.75 + Math.random() / 2));
  }

  function stop() {
    stream?.close();
    clearTimeout(timer);
    stream = timer = null;
    heard.clear();
    if (leads) say({ ends: true });
    leads = false;
  }

  // To all other pages of this site.
  function say(message) {
    channel?.postMessage({ id, ...message });
  }

  function take(object) {
    heard.set(object.jid, object);
    tell(object.jid, object);
  }

  // Whoever wants something is told what is known, so that it knows that somebody leads.
  function listen() {
    if (channel || !window.BroadcastChannel) return;
    channel = new BroadcastChannel(base + own.search);
    channel.onmessage = ({ data }) => {
      if (data.ends) later(connect, 300);
      if (data.wants && leads) {
        const known = wanted.size;
        data.wants.forEach((user) => wanted.add(user));
        if (wanted.size > known) later(connect, 30);
        say({ told: [...heard.values()] });
      }
      if (!data.told || leads && id > data.id) return;
      if (leads) stop(), later(connect, 300);
      isLed = true;
      data.told.forEach(take);
    };
  }

  function address(path, users) {
    const query = new URLSearchParams(own.search);
    users.forEach((user) => query.append('jid', user));
    return `${base}${path}?${query}`;
  }

  function connect() {
    for (const [user, all] of icons) if (!all.size) icons.delete(user), shown.delete(user);
    if (document.hidden || !icons.size) return stop();
    if (blind) return icons.forEach((all) => all.forEach(paint)), later(connect, PAUSE);
    if (leads) return follow();
    listen();
    isLed = false;
    heard.clear();
    say({ wants: [...icons.keys()] });
    later(() => {
      if (isLed || Date.now() < resting) return poll();
      leads = true;
      wanted.clear();
      say({ told: [] });
      follow();
    }, 300);
  }

  // Has the stream that this page and the others need: of those who want more than it may tell of, the last come first.
  function follow() {
    const users = [...icons.keys()];
    const events = address('events', [...new Set([...users, ...[...wanted].reverse()])].slice(0, SHARE));
    if (stream?.url === events) return poll(users.filter((user) => !shown.has(user)));
    let isOpen;
    stream?.close();
    heard.clear();
    stream = new EventSource(events);
    stream.addEventListener('presence', (event) => {
      const object = JSON.parse(event.data);
      take(object);
      say({ told: [object] });
    });
    stream.onopen = () => (isOpen = true, tries = 0);
    // One that breaks comes back by itself, unless it is refused or does not get through: then it is tried again later, and later each time.
    stream.onerror = () => {
      if (!isOpen || stream.readyState === 2) {
        resting = Date.now() + PAUSE / 4 * 2 ** Math.min(tries++, 6);
        stop();
        later(poll, 0);
      }
      isOpen = false;
    };
    later(poll, 500);
  }

  // Asks about those of whom no stream tells, and again after a while. Where this page has none, it looks before whether another one has.
  async function poll(users = [...icons.keys()].filter((user) => !heard.has(user))) {
    const turn = timer;
    let pause = PAUSE;
    for (let at = 0; at < users.length; at += SHARE) {
      const share = users.slice(at, at + SHARE);
      const told = await fetch(address('presence', share)).then((answer) => answer.json()).catch(() => ({}));
      if (turn !== timer) return;
      if (!told.users) pause = PAUSE / 4;
      share.forEach((user, index) => heard.has(user) || tell(user, told.users?.[index] || { ...shown.get(user), stale: true }));
      await new Promise((done) => setTimeout(done, 200));
    }
    if (turn === timer) later(stream ? poll : connect, pause);
  }

  document.addEventListener('visibilitychange', connect);
  addEventListener('pagehide', () => {
    stop();
    // A browser keeps no page that listens.
    channel?.close();
    channel = null;
  });
  addEventListener('pageshow', (event) => event.persisted && connect());

  customElements.define('presence-icon', class extends HTMLElement {
    static observedAttributes = ['jid', 'theme', 'size'];
    link = document.createElement('a');
    image = document.createElement('img');

    constructor() {
      super();
      this.link.part = 'link';
      this.image.part = 'icon';
      this.link.append(this.image);
      this.attachShadow({ mode: 'open' }).append(this.link);
    }

    connectedCallback() {
      // As the server writes a bare JID, but for rare letters.
      const user = this.user = (this.getAttribute('jid') || '').trim().split('/')[0].toLowerCase();
      if (user && !icons.has(user)) icons.set(user, new Set()), later(connect, 30);
      icons.get(user)?.add(this);
      paint(this);
    }

    disconnectedCallback() {
      icons.get(this.user)?.delete(this);
      later(connect, 30);
    }

    attributeChangedCallback() {
      if (this.isConnected) this.disconnectedCallback(), this.connectedCallback();
    }
  });
})();
