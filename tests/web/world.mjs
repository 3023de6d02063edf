// A world for the client, in which nothing happens by itself: time, chance, storage, locks, events.
//
//   page.storage ---> device.map        several pages share a device, as tabs do
//   page.locks   ---> device.holders    a page that dies lets go of everything
//
// `world.install()` puts the clock, chance and the window's events where the client looks for them.

import { readFileSync } from 'node:fs';

const SOURCE = new URL('../../src/web/switchboard.js', import.meta.url);
const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setImmediate: globalThis.setImmediate,
  timeout: AbortSignal.timeout,
  now: Date.now,
  random: Math.random,
};

/** Runs everything that waits for nothing but its turn. */
export const settle = () => new Promise((resolve) => { real.setImmediate(resolve); });

/** The client, or one that was broken: `change(source)` gives the text of it. */
export async function load(change) {
  if (!change) return import(SOURCE);
  const source = readFileSync(SOURCE, 'utf8');
  const broken = change(source);
  if (broken === source) throw new Error('this changes nothing');
  return import(`data:text/javascript,${encodeURIComponent(broken)}`);
}

/** Numbers that look like chance and are the same for the same seed (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  next.below = (most) => Math.floor(next() * most);
  next.pick = (list) => list[next.below(list.length)];
  return next;
}

export class World {
  constructor(seed = 1) {
    this.now = 1_000_000_000;
    this.random = chance(seed);
    this.timers = new Map();
    this.lastTimer = 0;
    this.pages = [];
    this.current = null; // the page whose code is running, as far as timers go
  }

  install() {
    globalThis.setTimeout = (act, after = 0) => {
      this.lastTimer += 1;
      this.timers.set(this.lastTimer, { at: this.now + after, act });
      return this.lastTimer;
    };
    globalThis.clearTimeout = (id) => { this.timers.delete(id); };
    AbortSignal.timeout = (after) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), after);
      return controller.signal;
    };
    Date.now = () => this.now;
    Math.random = () => this.random();
    this.events = new Set();
    globalThis.addEventListener = (type, handler) => { this.events.add([type, handler]); };
    globalThis.removeEventListener = (type, handler) => {
      for (const entry of this.events) {
        if (entry[0] === type && entry[1] === handler) this.events.delete(entry);
      }
    };
  }

  restore() {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
    AbortSignal.timeout = real.timeout;
    Date.now = real.now;
    Math.random = real.random;
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }

  /** Something happens to every window. */
  async happen(type) {
    for (const [name, handler] of [...this.events]) if (name === type) handler({ type });
    await settle();
  }

  /** Lets time go by, timer by timer. */
  async pass(ms) {
    const until = this.now + ms;
    await settle();
    for (;;) {
      let first = null;
      for (const [id, timer] of this.timers) {
        if (timer.at <= until && (!first || timer.at < first.timer.at)) first = { id, timer };
      }
      if (!first) break;
      this.timers.delete(first.id);
      this.now = Math.max(this.now, first.timer.at);
      first.timer.act();
      await settle();
    }
    this.now = until;
  }

  /** When the next timer is due, from now. */
  get nextTimer() {
    return Math.min(...[...this.timers.values()].map(({ at }) => at)) - this.now;
  }
}

/** What pages of one browser share. */
export class Device {
  constructor() {
    this.map = new Map();
    this.holders = new Map(); // of locks: name to page
    this.waiting = [];
    this.lockMs = 0; // how long browsers take to say who has a lock
  }

  free(name) {
    this.holders.delete(name);
    const at = this.waiting.findIndex((one) => one.name === name);
    if (at >= 0) this.waiting.splice(at, 1)[0].grant();
  }
}

/** One page: dead after a crash, and then nothing that it still does has an effect. */
export class Page {
  constructor(device) {
    this.device = device;
    this.isDead = false;
    this.crashIn = Infinity; // writes
    this.isCrashLate = false; // the write that it dies of is still done
    this.isFull = false;
    this.memory = new Map(); // sessionStorage
    this.onCrash = () => {};
    this.storage = this.#storageOf(device.map, true);
    this.locks = { request: (...args) => this.#request(...args) };
  }

  /** sessionStorage; stays over reloads. */
  get tab() { return this.#storageOf(this.memory, false); }

  #storageOf(map, canFail) {
    const write = (act) => {
      if (this.isDead) throw new Error('the page is gone');
      if (canFail && this.isFull) throw new Error('QuotaExceededError');
      this.crashIn -= canFail ? 1 : 0;
      const isLast = this.crashIn <= 0;
      if (!isLast || this.isCrashLate) act();
      if (isLast) {
        this.die();
        this.onCrash();
        throw new Error('the page is gone');
      }
    };
    return {
      getItem: (key) => map.get(key) ?? null,
      setItem: (key, value) => write(() => map.set(key, String(value))),
      removeItem: (key) => write(() => map.delete(key)),
    };
  }

  async #request(name, { ifAvailable, signal }, hold) {
    const { device } = this;
    if (this.isDead) throw new Error('the page is gone');
    const run = async (lock) => {
      if (lock) device.holders.set(name, this);
      await hold(lock);
      if (lock && device.holders.get(name) === this) device.free(name);
    };
    await null;
    if (device.lockMs) await new Promise((resolve) => { setTimeout(resolve, device.lockMs); });
    if (this.isDead) throw new Error('the page is gone');
    if (!device.holders.has(name)) return run({ name });
    if (ifAvailable) return run(null);
    return new Promise((resolve, reject) => {
      const one = { name, page: this, grant: () => resolve(run({ name })) };
      device.waiting.push(one);
      signal?.addEventListener('abort', () => {
        const at = device.waiting.indexOf(one);
        if (at < 0) return;
        device.waiting.splice(at, 1);
        reject(new Error('AbortError'));
      });
    });
  }

  die() {
    if (this.isDead) return;
    this.isDead = true;
    this.device.waiting = this.device.waiting.filter(({ page }) => page !== this);
    for (const [name, holder] of [...this.device.holders]) {
      if (holder === this) this.device.free(name);
    }
  }

  /** The page after a reload: the same tab. */
  reload() {
    this.die();
    const next = new Page(this.device);
    next.memory = this.memory;
    return next;
  }

  /** A second tab with a copy of this one's sessionStorage. */
  duplicate() {
    const next = new Page(this.device);
    next.memory = new Map(this.memory);
    return next;
  }
}
