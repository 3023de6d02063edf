/**
 * The client of Switchboard: what was accepted is not lost and does not come twice.
 *
 *     import { connect } from './switchboard.js';
 *     const chat = connect('wss://example.org/', { user: 'bob' });
 *     chat.on('message', ({ sender, content }) => console.log(sender, content));
 *     await chat.send({ receiver: 'alice', content: 'hi' });
 *
 * It speaks the dialect switchboard.v1; R1 to R13 below are the rules of its text (PROTOCOL.md).
 * One file without dependencies, for pages, bundlers and Node (from 20 on).
 *
 *     send() -> [ unnumbered ... ][ numbered, at most 64 unanswered ] -> ok | error
 *               outbox, in storage before send() returns
 *     message -> handlers -> position, in storage when they are done -> ack
 *
 * What is written before what (a page may end at any point):
 *   - a frame before it is sent, with the id that it has from then on
 *   - that it is settled after its promise is, and first `head`, then the frame is removed
 *   - joins that have to be repeated before the position that says that they have to be
 *   - the position after the handlers, so that a crash repeats a message and loses none; while the
 *     page lives, a new connection goes on behind what it has received
 */

/** Why something failed: `reason` as the server names it, or `storage`, `closed` and so on. */
export class SwitchboardError extends Error {
  constructor(reason, code = 0, more = {}) {
    super(reason);
    Object.assign(this, { reason, code, uncertain: false, kept: false, ...more });
  }
}

/** What `act` returns; what it throws is the storage's fault. */
function stored(act) {
  try {
    return act();
  } catch (cause) {
    throw new SwitchboardError('storage', 0, { cause });
  }
}

/** Storage that ends with the page or process. */
export function memoryStorage() {
  const map = new Map();
  return {
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => { map.set(key, value); },
    removeItem: (key) => { map.delete(key); },
  };
}

/**
 * Connects, and stays connected until `close()`. See switchboard.d.ts for all options and events.
 * @param {string} url where to: `wss://host/`, or on a page a path such as `/`
 * @param {object} [options]
 */
export function connect(url, options = {}) {
  return new Switchboard(url, options);
}

const global = globalThis;
const INBOX_MAX = 4096; // messages that wait for a handler
const OUTBOX_MAX = 10_000; // frames that wait for the server
const SEEN_MAX = 1024; // messages that are recognised if they come again; 64 of them after a reload
const SEEN_KEPT = 64;
const ACK_MESSAGES = 32;
const ACK_MS = 250;
const WELCOME_MS = 20_000; // a connection that is not welcome by then is given up
const ANSWER_MS = 5_000; // the same for one that is asked if it is alive
const GRACE_MS = 10_000; // how late a ping of the server may be
const STABLE_MS = 1_000; // a connection that lasted so long begins a new backoff
const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const RELOAD_MS = 1_000; // what the page before a reload may take to let go of its slot
const ABANDONED_MS = 30_000; // longer than a reload takes: a slot that was left as long ago is free
const SLOTS = 64; // of one user in one browser, as far as there may be holes between them
const ID_LENGTH = 33; // client, colon, number: of one length, so that numbering needs no new room
const WAKING = ['online', 'offline', 'visibilitychange', 'pageshow', 'resume'];

/** Unique among the clients of one user; 52 bits are plenty for that. */
const randomId = () => `c${Math.random().toString(36).slice(2, 14)}`;

/** A frame as it is sent; `ref` is for the page alone. */
const wire = (id, body) => JSON.stringify({ id, ...body, ref: undefined });

/** localStorage of a page; where there are no Web Locks to share it by, that of the tab alone. */
function defaultStorage() {
  if (!global.document) return null;
  try {
    const storage = global.navigator?.locks ? global.localStorage : global.sessionStorage;
    storage.getItem(''); // it may be null
    return storage;
  } catch (cause) {
    return denied(cause);
  }
}

/** Denied is not the same as memory: whoever sends has to know that nothing is kept. */
function denied(cause) {
  const setItem = () => { throw cause; };
  return { getItem: () => null, setItem };
}

/**
 * What one client keeps: who it is, its outbox and its position.
 *
 *     p      {"client":"k2…","attempt":9,"own":17,"head":4,"groups":[["room1",null]],"at":…}
 *     p:pos  ["9f…",41,["bob c8f3:17",…]]          epoch and seq, and what was seen last; a tab has
 *                                                 a copy, as another may go on with what it left
 *     p:4    k2…:16 {"receiver":"alice",…}          numbered; an empty string is settled
 *     p:5           {"receiver":"alice",…}          not sent yet; nothing at p:6 is the end
 */
function openShelf(storage, server, slot, client, tab) {
  const prefix = server + slot;
  const copy = `${server}tab:pos`;
  const keyOf = (place) => `${prefix}:${place}`;
  const meta = JSON.parse(storage.getItem(prefix)) ?? { client, attempt: 0, own: 0, head: 1 };
  const groups = new Map(meta.groups);
  const kept = tab?.getItem(copy) ?? storage.getItem(`${prefix}:pos`);
  const [epoch, seq, seen] = JSON.parse(kept) ?? [];
  const items = [];
  let tail = meta.head;
  for (let text; (text = storage.getItem(keyOf(tail))) !== null; tail += 1) {
    if (!text) continue;
    const item = makeItem(tail, JSON.parse(text.slice(ID_LENGTH)));
    const [name, id] = text.slice(0, ID_LENGTH).split(':');
    item.id = Number(id ?? 0);
    item.isStray = item.id && name !== meta.client;
    if (!item.isStray) meta.own = Math.max(meta.own, item.id);
    items.push(item);
  }

  // All of these throw if storage fails; the caller decides what that means.
  const write = () => {
    Object.assign(meta, { groups: [...groups], at: Date.now() });
    storage.setItem(prefix, JSON.stringify(meta));
  };
  const writeItem = ({ place, id, body }) => {
    const mid = id ? `${meta.client}:${id}` : '';
    storage.setItem(keyOf(place), mid.padEnd(ID_LENGTH) + JSON.stringify(body));
  };
  return {
    meta,
    groups,
    items,
    seen: new Set(seen),
    position: epoch && { epoch, seq }, // of what is processed
    reached: epoch && { epoch, seq }, // of what is received
    write,
    writeItem,

    writePosition() {
      const recent = [...this.seen].slice(-SEEN_KEPT);
      const text = JSON.stringify([this.position.epoch, this.position.seq, recent]);
      tab?.setItem(copy, text);
      storage.setItem(`${prefix}:pos`, text);
    },

    push(body) {
      const item = makeItem(tail, body);
      writeItem(item);
      tail += 1;
      items.push(item);
      return item;
    },

    /** Of an item that is no longer among `items`. */
    erase({ place }) {
      const from = meta.head;
      if (place > from) storage.setItem(keyOf(place), '');
      else {
        meta.head = items[0]?.place ?? tail;
        write();
        // Also what a crash left behind at this point.
        for (let at = meta.head - 1; at >= from || storage.getItem(keyOf(at)) !== null; at -= 1) {
          storage.removeItem(keyOf(at));
        }
      }
    },
  };
}

function makeItem(place, body) {
  const item = { place, body, id: 0, isSent: false };
  item.promise = new Promise((resolve, reject) => Object.assign(item, { resolve, reject }));
  item.promise.catch(() => {}); // nobody has to wait for it
  return item;
}

/** The position behind this frame. R5: a welcome replaces it, even by a lower one. */
function behind(position, { type, epoch, seq, until = 0 }) {
  if (type === 'welcome') return { epoch, seq };
  return position && { ...position, seq: Math.max(position.seq, seq ?? until) };
}

/** Whether somebody who may come back soon has this slot. */
function isAbandoned(storage, prefix) {
  const { at = 0 } = JSON.parse(storage.getItem(prefix) || '{}');
  return Math.abs(Date.now() - at) > ABANDONED_MS;
}

class Switchboard {
  #url;
  #WebSocket;
  #options;
  #storage;
  #locks;
  #isKept;
  #prefix; // of all slots of this server and user
  #slot;
  #isChild; // sends what another tab left in this slot, and ends
  #release = () => {}; // gives the lock of the slot back
  #shelf = null;
  #early = []; // sends from before the slot was there
  #handlers = {};
  #timers = {};
  #state = 'connecting';
  #socket = null;
  #welcome = null; // of this connection
  #welcomedAt = 0;
  #failures = 0;
  #drainMs;
  #mayHurry = false;
  #window = Infinity; // how many may be unanswered: fewer after a refusal for now (R4)
  #isChecked = false; // asked whether it is alive
  #token;
  #hasAskedAgain = false;
  #isDeaf = false; // nobody listens, or too much waits: this connection hears nothing more
  #placedBy; // the last welcome that is processed: the position may be of another connection
  #inbox = []; // outlives connections: the next one goes on behind it
  #busy = null; // the promise of handlers that are at work
  #unacked = 0;
  #children = new Map(); // of slots whose outboxes are sent for tabs that are gone
  #wake = (event) => this.#woken(event.type);

  constructor(url, options, slot) {
    this.#options = options;
    const address = new URL(url, global.location?.href);
    address.protocol = address.protocol.replace('http', 'ws');
    const { user } = options;
    this.#WebSocket = options.WebSocket ?? global.WebSocket;
    if (!this.#WebSocket) throw new TypeError('no WebSocket here: give one as { WebSocket }');
    if (user !== undefined) address.searchParams.set('user', user);
    this.#url = address.href;
    // Without a name nobody could tell whose outbox it is.
    const storage = user === undefined ? null : options.storage ?? defaultStorage();
    this.#storage = storage ?? memoryStorage();
    this.#locks = storage ? options.locks ?? global.navigator?.locks : null;
    this.#prefix = `switchboard:${address.origin}:${encodeURIComponent(user ?? '')}:`;
    this.#isKept = Boolean(storage);
    this.#slot = slot;
    this.#isChild = slot !== undefined;
    this.#start();
  }

  /** connecting, open, waiting, closed or refused. */
  get state() { return this.#state; }

  /** Who one is, since the server said so. */
  get user() { return this.#welcome?.user ?? this.#options.user; }

  /** What this client is called among those of its user. */
  get client() { return this.#shelf?.meta.client; }

  /** Everything that is not settled yet, what an earlier page left included. */
  get pending() {
    const items = this.#shelf?.items ?? [];
    return items.map(({ body }) => body).filter((body) => !body.type);
  }

  /** Sends a message; the promise settles when the server has decided. */
  send({ receiver, group, content, echo, ttl, receipt, sender, ref } = {}) {
    return this.#enqueue({ receiver, group, content, echo, ttl, receipt, sender, ref });
  }

  /** Becomes a member, again too when the server has forgotten it, until `leave`. */
  join(group, { presence } = {}) { return this.#enqueue({ type: 'join', group, presence }); }

  leave(group) { return this.#enqueue({ type: 'leave', group }); }

  /** Calls `handler` for each event of this type; the answer ends that. */
  on(type, handler) {
    (this.#handlers[type] ??= new Set()).add(handler);
    this.#pump();
    return () => { this.#handlers[type].delete(handler); };
  }

  /** Ends the connection. What was not accepted stays in storage for the next one. */
  close() { this.#stop('closed'); }

  // ---- beginning and end ----------------------------------------------------------------------

  async #start() {
    await null; // handlers come first
    if (this.#isOver()) return undefined;
    for (const type of WAKING) global.addEventListener?.(type, this.#wake, true);
    try {
      await this.#takeSlot();
    } catch (cause) {
      this.#storage = denied(cause);
      this.#shelf = openShelf(this.#storage, this.#prefix, 0, randomId());
    }
    if (this.#isOver()) return this.#release();
    this.#tryTo(() => this.#shelf.write());
    this.#disown(this.#shelf.items.filter(({ isStray }) => isStray));
    const { groups } = this.#shelf;
    // What a closed tab left goes to groups that this one is in, and joins none for good.
    if (this.#isChild) groups.clear();
    for (const group of this.#options.groups ?? []) {
      if (this.#isChild) groups.set(group);
      else if (!groups.has(group) && !this.#pendingFor(group)) this.join(group);
    }
    for (const start of this.#early.splice(0)) start();
    return this.#open();
  }

  /** Takes the first slot that nobody has: R1 needs a client id that is used once at a time. */
  async #takeSlot() {
    let { client } = this.#options;
    // A name that outlives its numbers would give the same numbers to other messages.
    if (client && !this.#isKept) client = `${client.slice(0, 19)}-${randomId()}`;
    const mine = this.#slot ?? client ?? this.#tab?.getItem(`${this.#prefix}tab`);
    let isMine = mine != null && await this.#lock(mine, this.#isChild ? 0 : RELOAD_MS);
    this.#slot = mine;
    if (this.#isChild && !isMine) {
      this.close();
      return;
    }
    for (let slot = 0; !isMine; slot += 1) {
      this.#slot = slot;
      const isFree = !this.#locks || isAbandoned(this.#storage, this.#prefix + slot);
      isMine = isFree && await this.#lock(slot, 0);
    }
    this.#tryTo(() => this.#tab?.setItem(`${this.#prefix}tab`, this.#slot));
    this.#shelf = openShelf(this.#storage, this.#prefix, this.#slot,
      this.#slot === client ? client : randomId(), this.#tab);
  }

  /** Where a tab remembers its slot over reloads. A copy of the tab has that memory too. */
  get #tab() {
    return this.#locks && !this.#isChild ? this.#options.tab ?? global.sessionStorage : null;
  }

  /** Whether the lock of this slot could be had: now, or within `wait` ms. */
  #lock(slot, wait) {
    if (!this.#locks) return true;
    return new Promise((resolve, reject) => {
      const hold = (lock) => {
        resolve(lock);
        return lock && new Promise((release) => { this.#release = release; });
      };
      // The page before a reload may take a moment to let go. What is given up is never granted.
      const how = wait ? { signal: AbortSignal.timeout(wait) } : { ifAvailable: true };
      this.#locks.request(this.#prefix + slot, how, hold).catch(wait ? () => resolve() : reject);
    });
  }

  /** Sends what tabs left behind that are gone. */
  #adopt() {
    if (!this.#locks || this.#isChild || this.#isOver()) return;
    // Not before the joins of this one are answered: what was left may be for the same groups.
    const isJoining = this.#shelf.items.some(({ body }) => body.type);
    this.#timer('adopt', isJoining ? ACK_MS : ABANDONED_MS, () => this.#adopt());
    if (isJoining) return;
    for (let slot = 0, text; slot < SLOTS || text; slot += 1) {
      const prefix = this.#prefix + slot;
      text = this.#storage.getItem(prefix); // there may be none between others
      const isLeft = text && this.#storage.getItem(`${prefix}:${JSON.parse(text).head}`);
      if (isLeft && slot !== Number(this.#slot) && !this.#children.has(slot)
        && isAbandoned(this.#storage, prefix)) {
        const groups = [...this.#shelf.groups.keys()];
        const child = new Switchboard(this.#url, { ...this.#options, groups }, slot);
        this.#children.set(slot, child);
        child.on('error', (error) => this.#fault(error));
        child.on('settled', (event) => this.#emit('settled', event));
        child.on('state', () => { if (child.#isOver()) this.#children.delete(slot); });
      }
    }
  }

  /** What was left is sent. */
  #finish() { if (this.#isChild && !this.#shelf.items.length) this.close(); }

  #isOver() { return this.#state === 'closed' || this.#state === 'refused'; }

  async #stop(state, code, reason) {
    if (this.#isOver()) return;
    this.#drop();
    this.#inbox = [];
    for (const type of WAKING) global.removeEventListener?.(type, this.#wake, true);
    this.#setState(state, { code, reason });
    const kept = this.#isKept;
    for (const item of this.#shelf?.items ?? []) {
      const uncertain = !kept && item.id > 0;
      item.reject(new SwitchboardError(state, code, { kept, uncertain, ref: item.body.ref }));
    }
    for (const start of this.#early.splice(0)) start();
    await this.#busy;
    this.#tryTo(() => this.#shelf?.write());
    this.#release();
  }

  // ---- the connection -------------------------------------------------------------------------

  async #open() {
    if (this.#isOver()) return;
    this.#timer('open');
    this.#setState('connecting');
    try {
      const { token } = this.#options;
      this.#token ??= typeof token === 'function' ? await token() : token;
    } catch (error) {
      this.#fault(error);
      this.#retry(1006, '');
      return;
    }
    if (this.#state !== 'connecting' || this.#socket) return;
    const { meta } = this.#shelf;
    meta.attempt += 1;
    this.#tryTo(() => this.#shelf.write());
    const socket = new this.#WebSocket(this.#url, ['switchboard.v1']);
    this.#socket = socket;
    socket.onopen = () => this.#hello();
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onerror = () => {};
    socket.onclose = (event) => this.#closed(event.code, event.reason);
    this.#timer('watch', WELCOME_MS, () => this.#lose());
  }

  #hello() {
    const { items, meta: { client, attempt, own }, reached } = this.#shelf;
    this.#isDeaf = !this.#handlers.message?.size;
    const from = this.#isDeaf ? {} : reached ?? (this.#options.live ? {} : { seq: 0 });
    this.#say({
      type: 'hello',
      client,
      attempt,
      next: items[0]?.id || own + 1,
      user: this.#options.user,
      token: this.#token,
      ...from,
    });
  }

  #say(frame) {
    this.#socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Lets go of the connection, whose end may take its time. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#welcome = null;
    this.#window = Infinity;
    this.#isChecked = false;
    this.#isDeaf = false;
    this.#unacked = 0;
    for (const name in this.#timers) this.#timer(name);
    for (const item of this.#shelf?.items ?? []) item.isSent = false;
    // They go on when this one has joined its groups again, which are theirs too.
    for (const child of this.#children.values()) child.close();
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  #lose() { this.#closed(1006, ''); }

  // 44xx: do not come back unchanged. 45xx, and whatever is no answer: come back with backoff.
  #closed(code, reason) {
    if (Date.now() - this.#welcomedAt > STABLE_MS && this.#welcome) this.#failures = 0;
    this.#drop();
    if (code === 4401 && typeof this.#options.token === 'function' && !this.#hasAskedAgain) {
      this.#hasAskedAgain = true;
      this.#token = undefined;
    } else if (code === 4409) {
      this.#takeNewName();
    } else if (code >= 4400 && code < 4500 && code !== 4408 && code !== 4429) {
      this.#stop('refused', code, reason);
      return;
    }
    this.#retry(code, reason);
  }

  #retry(code, reason) {
    if (this.#isOver()) return;
    const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#failures);
    const after = this.#drainMs ?? Math.random() * most;
    this.#mayHurry = code === 1006 && this.#drainMs === undefined;
    this.#drainMs = undefined;
    this.#failures += 1;
    this.#timer('open', after, () => this.#open());
    this.#setState('waiting', { code, reason, after });
  }

  /** Another client has our name. What it may have sent is its own; nobody can tell any more. */
  #takeNewName() {
    const { meta, items } = this.#shelf;
    Object.assign(meta, { client: randomId(), own: 0, attempt: 0 });
    this.#tryTo(() => this.#shelf.write());
    this.#disown(items.filter(({ id }) => id));
  }

  /** What was sent under another name: joins may be repeated, of messages nobody knows. */
  #disown(items) {
    for (const item of items) {
      if (item.body.type) {
        item.id = 0;
        this.#tryTo(() => this.#shelf.writeItem(item));
      } else {
        this.#settle(item, new SwitchboardError('replaced', 409, { uncertain: true }));
      }
    }
  }

  #woken(type) {
    if (type === 'visibilitychange' && global.document?.visibilityState === 'hidden') {
      this.#tryTo(() => this.#shelf?.write());
    } else if (this.#state === 'open') {
      this.#check();
    } else if (this.#state === 'waiting' && this.#mayHurry && type !== 'offline') {
      this.#open();
    }
  }

  /** Is the connection alive? A numbered frame is always answered. */
  #check() {
    if (this.#isChecked || !this.#welcome) return;
    this.#isChecked = true;
    this.#timer('watch', ANSWER_MS, () => this.#lose());
    if (!this.#shelf.items.length) this.#enqueue({ type: 'ping' });
  }

  #timer(name, after, act) {
    clearTimeout(this.#timers[name]);
    delete this.#timers[name];
    if (act && !this.#isOver()) {
      this.#timers[name] = setTimeout(() => {
        delete this.#timers[name];
        act();
      }, after);
    }
  }

  #setState(state, more = {}) {
    if (state === this.#state && state !== 'waiting') return;
    this.#state = state;
    this.#emit('state', { state, ...more });
  }

  // ---- sending --------------------------------------------------------------------------------

  #enqueue(body) {
    if (!this.#shelf && !this.#isOver()) {
      return new Promise((resolve) => {
        this.#early.push(() => resolve(this.#enqueue(body)));
      });
    }
    try {
      if (this.#isOver()) throw new SwitchboardError(this.#state);
      if (this.#shelf.items.length >= OUTBOX_MAX) throw new SwitchboardError('outbox_full', 429);
      const plain = JSON.parse(JSON.stringify(body)); // as the receiver will see it
      if (!plain.type && !('content' in plain)) throw new TypeError('content is missing');
      this.#checkSize(plain);
      const item = stored(() => this.#shelf.push(plain));
      this.#flush();
      return item.promise;
    } catch (error) {
      const { promise, reject } = makeItem();
      reject(error);
      return promise;
    }
  }

  #checkSize(body) {
    const max = this.#welcome?.limits.message;
    const text = wire(Number.MAX_SAFE_INTEGER, body);
    if (new TextEncoder().encode(text).length > max) {
      throw new SwitchboardError('message_too_large', 413, { max });
    }
  }

  // R1: an id is given when a frame is first sent, and at most `inflight` are unanswered.
  #flush() {
    const { items, meta } = this.#shelf;
    const most = () => Math.min(items.length, this.#window, this.#welcome?.limits.inflight);
    for (let at = 0; at < most(); at += 1) {
      const item = items[at];
      if (!item.isSent && (item.id || this.#number(item, meta))) {
        item.isSent = true;
        this.#say(wire(item.id, item.body));
      }
      if (items[at] !== item) at -= 1; // it had to go
    }
  }

  /** Gives an id; a frame that cannot have one is refused, and gone from the outbox. */
  #number(item, meta) {
    try {
      this.#checkSize(item.body);
      item.id = meta.own + 1;
      stored(() => this.#shelf.writeItem(item));
      meta.own += 1;
      return true;
    } catch (error) {
      item.id = 0;
      this.#settle(item, error);
      return false;
    }
  }

  #settle(item, error, result) {
    const { type, group, presence, ref } = item.body;
    const { groups, items, meta } = this.#shelf;
    this.#window *= 2;
    items.splice(items.indexOf(item), 1); // before somebody is told, who may send something
    if (type === 'join' && !error) groups.set(group, presence);
    else if (type) groups.delete(group);
    const event = { message: item.body };
    if (error) item.reject(event.error = Object.assign(error, { ref }));
    else item.resolve(event.result = { ...result, mid: `${meta.client}:${item.id}`, ref });
    if (!type) this.#emit('settled', event);
    this.#tryTo(() => this.#shelf.erase(item));
    this.#finish();
  }

  #pendingFor(name) {
    return this.#shelf.items.some(({ body: { type, group } }) => type && group === name);
  }

  /** Storage that fails where nobody waits for a promise. */
  #tryTo(act) {
    try {
      stored(act);
    } catch (error) {
      this.#fault(error);
    }
  }

  // ---- hearing --------------------------------------------------------------------------------

  #hear(data) {
    const frame = JSON.parse(data);
    const { type } = frame;
    if (this.#welcome) this.#watch();
    if ('content' in frame || type === 'gap') this.#receive(frame);
    else if (type === 'welcome') this.#welcomed(frame);
    else if (type === 'ping') this.#ack();
    else if (type === 'drain') this.#drainMs = frame.after;
    else if (type === 'ok') this.#answered(frame);
    else if (type === 'error') this.#refused(frame);
    else this.#emit(type, frame);
  }

  #watch() {
    this.#isChecked = false;
    this.#timer('watch', this.#welcome.ping * 1000 + GRACE_MS, () => this.#check());
  }

  // R3: the welcome settles the outbox before anything is sent again.
  #welcomed(frame) {
    const { items, meta } = this.#shelf;
    meta.own = Math.max(meta.own, frame.last);
    for (const item of items.filter(({ id }) => id && id <= frame.last)) {
      this.#settle(item, frame.refused.includes(item.id) && new SwitchboardError('refused', 410),
        { dup: true });
    }
    if (!this.#socket) return; // closed by whoever was told
    this.#welcome = frame;
    this.#welcomedAt = Date.now();
    this.#hasAskedAgain = false;
    this.#watch();
    this.#rejoin(frame.resumed);
    if (frame.epoch && !this.#isDeaf) this.#receive(frame);
    this.#setState('open', { user: frame.user });
    this.#flush();
    this.#adopt();
    this.#finish();
  }

  // R10: memberships end with the record. Without an id first, because messages to the group may
  // have been numbered before; then with one, which is answered and cannot be lost.
  #rejoin(isResumed) {
    for (const [group, wish] of this.#shelf.groups) {
      const presence = wish || undefined;
      const isPending = this.#pendingFor(group); // from a connection that ended before
      if (!isResumed || presence || isPending) this.#say({ type: 'join', group, presence });
      if (!isResumed && !isPending && !this.#isChild) {
        this.#tryTo(() => this.#shelf.push({ type: 'join', group, presence }));
      }
    }
  }

  #answered({ type, id, ...result }) {
    const item = this.#shelf.items.find((one) => one.id === id);
    if (item) this.#settle(item, null, result);
    this.#flush();
  }

  #refused({ type, id, code, reason, retry, expect, after, ...more }) {
    const { items } = this.#shelf;
    const item = id && items.find((one) => one.id === id);
    if (retry) {
      // R4: it goes back once, to `expect`, after `after` ms; more of them when that one passed.
      for (const one of items) if (one.id >= expect) one.isSent = false;
      this.#window = 0;
      this.#timer('pause', after, () => {
        this.#window = 1;
        this.#flush();
      });
    } else if (item) {
      this.#settle(item, new SwitchboardError(reason, code, more));
      this.#flush();
    } else {
      this.#fault(new SwitchboardError(reason, code, more));
    }
  }

  #receive(frame) {
    // What does not go in comes again on the connection that is opened when all is worked off.
    this.#isDeaf ||= this.#inbox.length >= INBOX_MAX;
    if (this.#isDeaf) return;
    this.#inbox.push(frame);
    this.#shelf.reached = behind(this.#shelf.reached, frame);
    this.#pump();
  }

  /** One after the other, also where a handler takes its time. */
  #pump() {
    while (!this.#busy && this.#inbox.length && this.#handlers.message?.size) {
      const frame = this.#inbox.shift();
      const done = () => {
        this.#processed(frame);
        this.#busy = null;
      };
      this.#busy = true;
      this.#busy = this.#handle(frame)?.then(() => {
        done();
        this.#pump();
      });
      if (!this.#busy) done();
    }
    // Somebody listens again: it goes on from where nobody did.
    if (this.#isDeaf && this.#socket && this.#handlers.message?.size && !this.#inbox.length) {
      this.#drop();
      this.#open();
    }
  }

  #handle(frame) {
    const { position, seen } = this.#shelf;
    if (frame.type === 'welcome') return frame.gap && this.#emit('gap', frame.gap);
    if (!('content' in frame)) return this.#emit('gap', frame);
    // R5: what is not above the position is dropped.
    if (frame.seq <= position?.seq || seen.has(`${frame.sender} ${frame.mid}`)) return undefined;
    return this.#emit('message', position ? { ...frame, epoch: position.epoch } : frame);
  }

  #processed(frame) {
    const shelf = this.#shelf;
    const { type, sender, mid } = frame;
    const before = shelf.position?.seq;
    shelf.position = behind(shelf.position, frame);
    if (type === 'welcome') this.#placedBy = frame;
    else {
      if (mid) shelf.seen.add(`${sender} ${mid}`);
      if (shelf.seen.size > SEEN_MAX) shelf.seen.delete([...shelf.seen][0]);
      if (shelf.position?.seq === before) return;
      this.#unacked += 1;
      if (this.#unacked >= ACK_MESSAGES) this.#ack();
      else if (!this.#timers.ack) this.#timer('ack', ACK_MS, () => this.#ack());
    }
    this.#tryTo(() => shelf.writePosition());
  }

  #ack() {
    this.#timer('ack');
    this.#unacked = 0;
    const seq = this.#placedBy === this.#welcome ? this.#shelf.position.seq : 0;
    if (this.#welcome) this.#say({ type: 'ack', seq });
  }

  // ---- telling --------------------------------------------------------------------------------

  /** Calls the handlers; a promise if one of them takes its time. */
  #emit(type, event) {
    const waits = [];
    for (const handler of [...this.#handlers[type] ?? []]) {
      const fail = (error) => this.#fault(error, type);
      try {
        const wait = handler(event);
        if (wait?.then) waits.push(wait.then(null, fail));
      } catch (error) {
        fail(error);
      }
    }
    return waits.length ? Promise.all(waits) : undefined;
  }

  #fault(error, from) {
    if (from === 'error' || !this.#handlers.error?.size) console.error(error);
    else this.#emit('error', error);
  }
}
