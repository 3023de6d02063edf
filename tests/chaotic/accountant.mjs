/**
 * Strict accounting of a round: what became of each message, for each device that it was for.
 *
 *     intent -> ok     -> each device of its audience: once, or a gap was announced to it
 *            -> error  -> nobody
 *            -> nothing said (its sender was killed before it was queued): either of these
 *
 * Every device keeps a journal (journal.mjs); a device that was killed has several lives in one.
 * Nothing here looks at the server or the network, only at what devices were told.
 *
 * What is allowed, and no more:
 *   - A client that was killed is told the end of what it was told before a second time, with the
 *     same positions: one message in the JavaScript client, which stores its position after each;
 *     what it printed last in the Rust one.
 *   - When the server has lost its epoch, so that senders repeat what was not answered, a message
 *     may come again under the new epoch. The JavaScript client recognises it as long as it
 *     remembers it.
 *   - An unlogged message (ttl 0) may not arrive, but not twice either.
 */

import { GROUP, audience } from './traffic.mjs';

/** What the JavaScript client remembers of what it was told: in a process, and over its end. */
const SEEN_MAX = 1024;
const SEEN_KEPT = 64;

/** @typedef {{name: string, user: string, kind: 'js' | 'rust', events: object[]}} Device */

/**
 * @param {Device[]} devices
 * @param {{ gaps?: string[] }} allowed the reasons for which gaps may be announced in this round
 * @returns {{ figures: object, findings: { kind: string, text: string }[], pending: number }}
 *   `pending` of the findings may yet be settled if devices are given more time
 */
export function audit(devices, { gaps = [] } = {}) {
  return new Audit(devices, gaps).result();
}

class Audit {
  findings = [];
  figures = {
    messages: 0, accepted: 0, refused: 0, unknown: 0, delivered: 0, repeated: 0, excused: 0,
    gaps: 0, lives: 0, retries: 0,
    losses: 0, duplicates: 0, disorder: 0,
  };
  #pending = 0;
  /** All messages, by device and number: where they went, what was said of them. */
  #messages = new Map();
  /** When each epoch was first heard of. */
  #epochs = new Map();

  constructor(devices, gaps) {
    this.devices = devices;
    this.byName = new Map(devices.map((device) => [device.name, device]));
    this.gapsAllowed = gaps;
    this.ledgers = new Map(devices.map((device) => [device.name, new Ledger(device)]));
    for (const device of devices) this.#note(device);
    for (const device of devices) this.#read(device);
    this.#order = [...this.#epochs].sort(([, a], [, b]) => a - b).map(([epoch]) => epoch);
    for (const device of devices) this.#judge(device);
    this.#receipts();
  }

  #order;

  result() {
    return { figures: this.figures, findings: this.findings, pending: this.#pending };
  }

  #find(kind, text) { this.findings.push({ kind, text }); }

  #fail(figure, text) {
    this.figures[figure] += 1;
    this.#find(figure, text);
  }

  /** What a device meant to send. */
  #note(device) {
    for (const event of device.events) {
      if (event.e === 'intent') {
        const name = `${device.name}#${event.k}`;
        this.figures.messages += 1;
        this.#messages.set(name, {
          name, sender: device, intent: event, outcomes: [], places: [], isQueued: false,
        });
      } else if (event.e === 'welcome' && event.epoch !== undefined) {
        const first = this.#epochs.get(event.epoch) ?? Infinity;
        this.#epochs.set(event.epoch, Math.min(first, event.t));
      }
    }
  }

  /** What a device was told, in order. */
  #read(device) {
    const ledger = this.ledgers.get(device.name);
    for (const event of device.events) {
      const message = event.k && this.#messages.get(`${event.d ?? device.name}#${event.k}`);
      switch (event.e) {
        case 'life': this.figures.lives += 1; ledger.live(); break;
        case 'welcome': ledger.welcome(event); break;
        case 'queued': message.isQueued = true; break;
        case 'ok':
        case 'error': message.outcomes.push({ ...event, epoch: ledger.epoch }); break;
        case 'msg': this.#delivery(device, ledger, event, message); break;
        case 'gap': this.#gap(device, ledger, event); break;
        case 'retry': this.figures.retries += 1; break;
        case 'receipt': ledger.receipts.push(event); break;
        case 'fault': this.#find('faults', `${device.name}: ${event.reason}`); break;
        case 'state':
          if (event.state === 'refused' || event.code === 4409 || event.code === 4400) {
            this.#find('faults', `${device.name} was sent away: ${event.code} ${event.reason}`);
          }
          break;
        default: break;
      }
    }
  }

  #gap(device, ledger, event) {
    this.figures.gaps += 1;
    ledger.gap(event);
    const reason = event.dropped === undefined ? event.reason : 'dropped';
    if (!this.gapsAllowed.includes(reason)) {
      this.#find('gaps', `${device.name}: a gap without a cause: ${JSON.stringify(event)}`);
    }
  }

  #delivery(device, ledger, event, message) {
    const what = `${event.d}#${event.k} at ${device.name}, seq ${event.seq}`;
    if (!message) return this.#find('strays', `${what}: nobody sent it`);
    const { sender, intent } = message;
    if (event.isBroken) this.#find('strays', `${what}: it is not whole`);
    if (event.sender !== sender.user) this.#find('strays', `${what}: as if from ${event.sender}`);
    if (!audience(intent, sender, [device]).length) this.#find('strays', `${what}: not for it`);
    if (event.seq !== undefined) message.places.push({ epoch: event.epoch, seq: event.seq });
    if (intent.group === GROUP && event.seq !== undefined) ledger.inGroup(event);
    const verdict = ledger.delivery(message.name, event);
    if (verdict === 'new') {
      this.figures.delivered += 1;
      const last = ledger.lastFrom.get(sender.name) ?? 0;
      if (last > event.k) this.#fail('disorder', `${what}: came after ${sender.name}#${last}`);
      ledger.lastFrom.set(sender.name, Math.max(last, event.k));
    } else if (verdict === 'again') {
      this.figures.repeated += 1;
    } else {
      this.#fail(verdict, `${what}: ${ledger.why}`);
    }
  }

  /** What became of what a device sent. */
  #judge(device) {
    for (const message of this.#messages.values()) {
      if (message.sender !== device) continue;
      const places = new Set(message.places.map(({ epoch, seq }) => `${epoch} ${seq}`));
      const epochs = new Set(message.places.map(({ epoch }) => epoch));
      if (places.size > epochs.size) {
        this.#fail('duplicates', `${message.name}: applied at ${[...places].join(' and ')}`);
      }
      const said = message.outcomes.filter(({ uncertain }) => !uncertain);
      const [first] = said;
      const isContrary = said.some(({ e, epoch }) => e !== first.e && epoch === first.epoch);
      if (isContrary) this.#find('faults', `${message.name}: was both accepted and refused`);
      if (message.outcomes.some(({ uncertain }) => uncertain)) {
        this.#find('faults', `${message.name}: its sender lost its name, which nobody else had`);
      }
      if (!first) {
        this.figures.unknown += 1;
        if (message.isQueued) this.#open(`${message.name}: queued, and never answered`);
      } else if (first.e === 'ok') {
        this.figures.accepted += 1;
        this.#accepted(message, first);
      } else {
        this.figures.refused += 1;
        this.#refused(message, first);
      }
    }
  }

  #open(text) {
    this.#pending += 1;
    this.#find('unanswered', text);
  }

  #refused(message, { epoch, code, reason }) {
    // What an earlier epoch had applied, and forgot with everything else, is refused by the next.
    for (const device of this.devices) {
      const heard = this.ledgers.get(device.name).heard.get(message.name);
      if (heard?.epoch !== undefined && heard.epoch === epoch) {
        const why = `${code} ${reason}`;
        this.#find('strays', `${message.name}: refused (${why}), delivered to ${device.name}`);
      }
    }
  }

  #accepted(message, ok) {
    const { intent, sender } = message;
    const isLogged = intent.ttl !== 0 && ok.logged !== false;
    for (const device of audience(intent, sender, this.devices)) {
      const ledger = this.ledgers.get(device.name);
      if (ledger.heard.has(message.name) || !isLogged) continue;
      if (this.#isCovered(message, ok, device, ledger)) {
        this.figures.excused += 1;
      } else {
        this.#pending += 1;
        const where = this.#where(message);
        this.#fail('losses', `${message.name}: accepted, not at ${device.name}, ${where}`);
      }
    }
  }

  #where(message) {
    if (message.places.length) {
      const { epoch, seq } = message.places[0];
      return `seq ${seq} of ${epoch}`;
    }
    const { low, high, epoch } = this.#bounds(message);
    return `seq from ${low + 1} to ${high} of ${epoch}`;
  }

  /** Whether a gap that may contain the message was announced to the device. */
  #isCovered(message, ok, device, ledger) {
    const first = this.#order[0];
    const spans = message.places.length
      ? message.places.map(({ epoch, seq }) => ({ epoch, low: seq - 1, high: seq }))
      : [this.#bounds(message)];
    for (const { epoch, low, high } of spans) {
      const rank = this.#order.indexOf(epoch);
      const covers = (gap) => {
        if (gap.dropped !== undefined) return false;
        // The end of an epoch, announced by one that came later, covers all of it.
        if (gap.reason !== 'overflow' && this.#order.indexOf(gap.epoch) > rank) return true;
        return gap.epoch === epoch && gap.after < high && low < gap.until;
      };
      if (ledger.gaps.some(covers)) continue;
      // In an epoch that is not the first nobody is known before he has come: no copies for other
      // devices, no membership. That is no loss of the message.
      if (epoch !== first && this.#isStranger(message, device, ledger, epoch, low)) continue;
      return false;
    }
    return true;
  }

  #isStranger({ intent, sender }, device, ledger, epoch, low) {
    const came = ledger.arrivals.get(epoch) ?? Infinity;
    const isCopy = intent.receiver !== device.user && device.user === sender.user;
    if (isCopy && came > intent.t) return true;
    if (intent.group !== GROUP) return false;
    const ofUser = this.devices.filter(({ user }) => user === device.user);
    const since = ofUser.map(({ name }) => this.ledgers.get(name).groupFrom.get(epoch) ?? Infinity);
    return Math.min(...since) > low;
  }

  /** Behind which place it is and up to which, if no device has it: between its sender's others. */
  #bounds({ sender, intent, outcomes }) {
    const { epoch } = outcomes.find(({ e }) => e === 'ok');
    let low = 0;
    let high = Infinity;
    for (const k of [...Array(SEARCH).keys()].map((step) => step + 1)) {
      const seqOf = (other) => this.#messages.get(`${sender.name}#${other}`)?.places
        .find((place) => place.epoch === epoch)?.seq;
      low = Math.max(low, seqOf(intent.k - k) ?? 0);
      high = Math.min(high, seqOf(intent.k + k) ?? Infinity);
    }
    return { epoch, low, high: high - 1 };
  }

  /** A receipt comes once, and for what some device of the receiver has. */
  #receipts() {
    for (const [name, ledger] of this.ledgers) {
      const seen = new Set();
      for (const { mid, by } of ledger.receipts) {
        if (seen.has(mid)) this.#find('duplicates', `${name}: two receipts for ${mid} by ${by}`);
        seen.add(mid);
      }
    }
  }
}

/** How far from a message its sender's others are looked at. */
const SEARCH = 200;

/** What one device has been told. */
class Ledger {
  epoch;
  life = 0;
  /** First deliveries, by name of the message. */
  heard = new Map();
  /** All logged deliveries, in order; a client that comes back may be told the end of it again. */
  #shown = [];
  #place = new Map();
  /** Where in `#shown` a repetition is, in this life. */
  #repeating = null;
  #lastSeq = 0;
  /** How many different messages came so far, and when a life began. */
  #count = 0;
  #countAtLife = 0;
  lastFrom = new Map();
  gaps = [];
  arrivals = new Map();
  groupFrom = new Map();
  receipts = [];
  why = '';

  constructor(device) { this.kind = device.kind; }

  live() {
    this.life += 1;
    this.#repeating = null;
    this.#countAtLife = this.#count;
    this.#lastSeq = 0;
  }

  welcome({ epoch, t }) {
    if (epoch !== this.epoch) this.#lastSeq = 0;
    this.epoch = epoch;
    if (!this.arrivals.has(epoch)) this.arrivals.set(epoch, t);
  }

  gap({ after, until, reason, dropped }) {
    this.gaps.push({ after, until, reason, dropped, epoch: this.epoch });
  }

  /** From where on in each epoch its user is known to be a member. */
  inGroup({ epoch, seq }) {
    this.groupFrom.set(epoch, Math.min(seq, this.groupFrom.get(epoch) ?? Infinity));
  }

  /** `new`, `again` (and it may), `duplicates`, or `disorder`; `why` says what is wrong. */
  delivery(name, { seq, epoch }) {
    const at = epoch ?? this.epoch;
    const verdict = this.#delivery(name, seq, at);
    // However wrongly, it came.
    if (!this.heard.has(name)) this.#first(name, at);
    return verdict;
  }

  #delivery(name, seq, at) {
    const before = this.heard.get(name);
    if (seq === undefined) return this.#unlogged(name, before, at);
    const place = `${at} ${seq}`;
    if (this.#place.has(place)) return this.#repeated(name, place);
    if (seq <= this.#lastSeq) return this.#wrong('disorder', `after seq ${this.#lastSeq}`);
    this.#lastSeq = seq;
    if (this.#repeating !== null && this.#repeating !== this.#shown.length - 1) {
      return this.#wrong('disorder', 'a repetition went on in the midst of what was told before');
    }
    this.#place.set(place, { index: this.#shown.length, life: this.life, name });
    this.#shown.push(place);
    this.#repeating = null;
    if (!before) return this.#first(name, at);
    if (before.epoch === at) return this.#wrong('duplicates', `it was there, at ${before.place}`);
    return this.#fromOtherEpoch(before);
  }

  #first(name, epoch) {
    this.#count += 1;
    const place = this.#shown.at(-1);
    this.heard.set(name, { epoch, place, number: this.#count, life: this.life });
    return 'new';
  }

  #unlogged(name, before, epoch) {
    if (!before) return this.#first(name, epoch);
    if (before.epoch === epoch) return this.#wrong('duplicates', 'an unlogged one, twice');
    return this.#fromOtherEpoch(before);
  }

  #fromOtherEpoch({ number, life }) {
    if (this.kind === 'rust') return 'again';
    const since = this.#count - number;
    const beforeLife = life < this.life ? this.#countAtLife - number : 0;
    if (since >= SEEN_MAX || beforeLife >= SEEN_KEPT) return 'again';
    return this.#wrong('duplicates', 'it was there, in an older epoch');
  }

  #repeated(name, place) {
    const { index, life, name: earlier } = this.#place.get(place);
    if (earlier !== name) return this.#wrong('disorder', `${earlier} was at this place before`);
    if (life === this.life) return this.#wrong('duplicates', 'twice in one life of its client');
    const from = this.kind === 'js' ? this.#shown.length - 1 : index;
    const wanted = this.#repeating === null ? from : this.#repeating + 1;
    this.#repeating = index;
    if (index !== wanted) return this.#wrong('duplicates', 'not only the end is told again');
    this.#lastSeq = Number(place.split(' ')[1]);
    return 'again';
  }

  #wrong(verdict, why) {
    this.why = why;
    return verdict;
  }
}
