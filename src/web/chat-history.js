/**
 * What the page keeps over reloads: the last messages of one user, for all windows of that user.
 *
 *     switchboard.chat:alice             {"groups":["lobby"],"floor":["9f…",17]}
 *     switchboard.chat:alice:bob c8f3:4  {"kind":"user","to":"bob","from":"bob","text":"hi",…}
 *
 * A message is kept under its name, so two windows that get the same one keep it once. It is in
 * localStorage and not in IndexedDB because that is written when `put` returns: before the client
 * lets go of what it has sent, and before it moves on from what it has received.
 *
 * This module does not know what a message looks like, nor how it came.
 */

const PREFIX = 'switchboard.chat:';
const MESSAGES_MAX = 1_000;     // of one user
const CHARS_MAX = 500_000;      // of one user; localStorage has room for some 5,000,000
const OTHERS_CHARS_MAX = 1_000_000; // of all other users of this browser
const TEXT_MAX = 16_000;        // characters of one message
const FIELDS = ['kind', 'to', 'from', 'own', 'text', 'raw', 'cut', 'at', 'epoch', 'since', 'seq',
  'status', 'why', 'values', 'note', 'warn'];

const read = (key) => {
  try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
};
const remove = (key) => { try { localStorage.removeItem(key); } catch { /* then it stays */ } };

export class History {
  #key;
  #kept = new Map();   // name -> what the order needs, and the length
  #chars = 0;
  #since = new Map();  // epoch -> when this browser first heard of it
  #epoch = '';         // the latest
  #seq = 0;            // the highest of that epoch
  #last = 0;           // the latest time given

  constructor(user) {
    // A name may contain a colon: it must not look like the beginning of another's.
    this.#key = PREFIX + encodeURIComponent(user);
  }

  /** Everything that is kept, in order. */
  load() {
    const items = [];
    const others = [];
    for (let i = 0; i < this.#length(); i += 1) {
      const key = localStorage.key(i);
      if (key.startsWith(`${this.#key}:`)) {
        const item = read(key);
        if (item) items.push({ ...item, name: key.slice(this.#key.length + 1) });
      } else if (key.startsWith(PREFIX)) {
        others.push(key);
      }
    }
    for (const item of items) this.#note(item);
    this.#bound(others);
    return items.sort((a, b) => this.compare(a, b));
  }

  has(name) { return this.#kept.has(name); }

  /** Groups that this user is in, as far as this browser knows. */
  get groups() { return read(this.#key)?.groups ?? []; }

  set groups(groups) { this.#writeMeta({ groups }); }

  /** Whether this was kept once, and has had to make room. */
  isForgotten({ epoch, seq }) {
    const floor = read(this.#key)?.floor;
    return Boolean(floor) && floor[0] === epoch && seq <= floor[1];
  }

  /** The server went back: what it says from now on is new, whatever its numbers. */
  restart() { this.#writeMeta({ floor: undefined }); }

  /** Whether everything up to this number has been seen by some window. */
  reaches(seq) { return this.#seq >= seq; }

  /** Gives an item its place in the order: by the server's number, else after what there is. */
  place(item) {
    // Two in one millisecond have an order, too.
    if (item.at === undefined) this.#last = item.at = Math.max(Date.now(), this.#last + 0.001);
    item.since = undefined; // it may have had a place in another epoch
    if (item.epoch !== undefined && item.seq !== undefined) this.#note(item, false);
    else Object.assign(item, { epoch: this.#epoch, seq: this.#seq + 0.5 });
    item.since = this.#since.get(item.epoch) ?? 0;
    return item;
  }

  put(item) {
    const text = item.text?.slice(0, TEXT_MAX);
    const cut = item.cut || text !== item.text;
    const record = {};
    for (const field of FIELDS) record[field] = item[field];
    const line = JSON.stringify({ ...record, text, cut: cut || undefined });
    this.#note(item);
    if (this.#kept.size > MESSAGES_MAX || this.#chars > CHARS_MAX) this.#trim();
    try {
      localStorage.setItem(`${this.#key}:${item.name}`, line);
    } catch {
      this.#trim(); // no room: the older ones go, and if that does not help, this one is not kept
      try { localStorage.setItem(`${this.#key}:${item.name}`, line); } catch { /* not kept */ }
    }
  }

  remove(name) {
    this.#forget(name);
    remove(`${this.#key}:${name}`);
  }

  /** Before, after: negative, positive. What is not sent yet is last. */
  compare(a, b) {
    const isPending = (item) => Number(item.status === 'pending');
    return isPending(a) - isPending(b) || this.#sinceOf(a) - this.#sinceOf(b)
      || a.seq - b.seq || a.at - b.at;
  }

  /** Calls `put`, `gone` and `groups` for what other windows of this user do. What is returned
   * ends that. */
  watch({ put, gone, groups }) {
    const heard = ({ key, newValue, storageArea }) => {
      if (storageArea !== localStorage || !key?.startsWith(this.#key)) return;
      const name = key.slice(this.#key.length + 1);
      if (key === this.#key) groups(this.groups);
      else if (key[this.#key.length] !== ':') return;
      else if (newValue === null) {
        this.#forget(name);
        gone(name);
      } else {
        const item = { ...JSON.parse(newValue), name };
        this.#note(item);
        put(item);
      }
    };
    addEventListener('storage', heard);
    return () => removeEventListener('storage', heard);
  }

  #sinceOf({ epoch, since }) { return this.#since.get(epoch) ?? since ?? 0; }

  #length() { try { return localStorage.length; } catch { return 0; } }

  #writeMeta(change) {
    try {
      localStorage.setItem(this.#key, JSON.stringify({ ...read(this.#key), ...change }));
    } catch { /* then it is not kept */ }
  }

  #note({ name, epoch, since, seq, at, text }, isKept = true) {
    if (epoch) {
      const before = this.#since.get(epoch) ?? Infinity;
      this.#since.set(epoch, Math.min(before, since ?? Date.now()));
      const isLater = epoch !== this.#epoch
        && this.#since.get(epoch) >= (this.#since.get(this.#epoch) ?? 0);
      if (isLater) {
        this.#epoch = epoch;
        this.#seq = 0;
      }
      if (epoch === this.#epoch) this.#seq = Math.max(this.#seq, Math.floor(seq));
    }
    if (!isKept) return;
    this.#forget(name);
    const length = Math.min(text?.length ?? 0, TEXT_MAX) + 200;
    this.#kept.set(name, { name, epoch, since, seq, at, length });
    this.#chars += length;
  }

  #forget(name) {
    this.#chars -= this.#kept.get(name)?.length ?? 0;
    this.#kept.delete(name);
  }

  /** Lets the oldest tenth go, and remembers up to where, so that it does not come back as new. */
  #trim() {
    const oldest = [...this.#kept.values()].sort((a, b) => this.compare(a, b));
    let last;
    for (const item of oldest) {
      if (this.#kept.size <= MESSAGES_MAX * 0.9 && this.#chars <= CHARS_MAX * 0.9) break;
      this.remove(item.name);
      last = item;
    }
    if (last?.epoch) this.#writeMeta({ floor: [last.epoch, Math.floor(last.seq)] });
  }

  /** What other users of this browser left may not fill it. */
  #bound(keys) {
    let chars = 0;
    const when = (key) => read(key)?.at ?? Infinity; // what is no message is small, and stays
    const newest = keys.map((key) => ({ key, at: when(key) })).sort((a, b) => b.at - a.at);
    for (const { key } of newest) {
      chars += localStorage.getItem(key).length;
      if (chars > OTHERS_CHARS_MAX) remove(key);
    }
  }
}
