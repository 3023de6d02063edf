/**
 * One round: a server, a proxy, some users with two devices each, and some time in which all goes
 * wrong; then calm, and the accounts.
 *
 *     devices of both kinds ----> proxy ----> server ----> data
 *      crash, come again        cuts, …     kill -9      full disk
 *           |
 *           '--> journals --> audit
 */

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { audit } from './accountant.mjs';
import { JsClients, RustClient, Server } from './processes.mjs';
import { Proxy } from './proxy.mjs';
import { Random } from './random.mjs';

/**
 * What is different from round to round: flags of the server, whether it keeps its data, what may
 * happen, and for which reasons gaps may be announced. That the ring for unlogged messages is too
 * small for a connection that stands still (`dropped`) may happen in any.
 */
export const ROUNDS = {
  durable: {
    what: 'the server keeps its data, and is killed: nothing is lost',
    isDurable: true,
    flags: ['--log-messages', '1000000', '--log-bytes', '256MiB'],
    gaps: ['dropped'],
    events: ['kill', 'restart', 'stall', 'fill', 'jump', 'crash', 'freeze', 'cut', 'online'],
  },
  steady: {
    what: 'the server has nothing but memory, and is not killed: nothing is lost',
    isDurable: false,
    flags: ['--log-messages', '1000000', '--log-bytes', '256MiB'],
    gaps: ['dropped'],
    events: ['stall', 'jump', 'crash', 'freeze', 'cut', 'online'],
  },
  forgetful: {
    what: 'the server has nothing but memory, and is killed: every loss is announced',
    isDurable: false,
    flags: ['--log-messages', '1000000', '--log-bytes', '256MiB'],
    gaps: ['dropped', 'epoch'],
    events: ['kill', 'restart', 'stall', 'jump', 'crash', 'freeze', 'cut', 'online'],
  },
  tiny: {
    what: 'logs are too small: every loss is announced',
    isDurable: false,
    flags: ['--log-messages', '20', '--log-bytes', '16KiB'],
    gaps: ['dropped', 'overflow'],
    events: ['stall', 'jump', 'crash', 'freeze', 'cut', 'online'],
  },
};

const WEIGHTS = {
  kill: 3, restart: 1, stall: 1, fill: 3, jump: 2, crash: 6, freeze: 2, cut: 2, online: 6,
};

/** Short, so that what takes a minute in life takes seconds here. */
const SERVER_FLAGS = ['--session-ping', '2s', '--session-silence', '6s', '--write-timeout', '5s',
  '--session-retry', '200ms', '--auth-timeout', '5s', '--shutdown-timeout', '5s'];

/** How long devices are given to get everything, once it is calm. */
const CALM_MS = 120_000;
/** How long it has to stay complete: what comes twice may come late. */
const QUIET_MS = 2_000;
const DAY_S = 86_400;

export class Round {
  #faults = [];
  #busy = new Set();
  #isOver = false;

  /** @param {object} options see main.mjs; `kind` is a key of ROUNDS */
  constructor(options) {
    this.options = options;
    const kind = ROUNDS[options.kind];
    const events = kind.events.filter((name) => options.only?.includes(name) ?? true);
    this.kind = { ...kind, events };
    this.random = new Random(`${options.seed} ${options.number}`);
  }

  async run() {
    await this.#begin();
    await this.#storm();
    const audited = await this.#calm();
    this.#end();
    const { figures, findings } = audited;
    for (const text of this.#faults) findings.push({ kind: 'faults', text });
    Object.assign(figures, this.proxy.figures, this.server.figures, this.figures);
    this.#complainOfQuiet(figures, findings);
    return { figures, findings };
  }

  figures = { crashes: 0 };

  #unexpected = (text) => {
    if (!this.#isOver) this.#faults.push(text);
  };

  async #begin() {
    const { directory, server, faketime, rate, seed, modules, client } = this.options;
    const data = path.join(directory, 'data');
    fs.mkdirSync(data, { recursive: true });
    const flags = [...SERVER_FLAGS, ...this.kind.flags];
    if (this.kind.isDurable) flags.push('--data', data);
    this.server = new Server({ server, directory, data, flags, faketime }, this.#unexpected);
    this.proxy = new Proxy(new Random(`${seed} proxy ${this.options.number}`));
    const port = await this.proxy.listen();
    await this.#startServer();
    const users = [...Array(this.options.users).keys()].map((number) => `u${number}`);
    const settings = {
      url: `ws://127.0.0.1:${port}`, users, directory, rate, seed, server, modules, client,
    };
    this.#people(users, settings);
    for (const one of this.clients) one.start();
    await this.#joined();
  }

  /** Of each user two devices, of kinds in turn; two or three JavaScript ones share a process. */
  #people(users, settings) {
    const js = users.map((user) => ({ name: `${user}-js`, user, kind: 'js', events: [] }));
    const rust = users.map((user) => ({ name: `${user}-rust`, user, kind: 'rust', events: [] }));
    js.push({ name: `${users[0]}-js2`, user: users[0], kind: 'js', events: [] });
    rust.push({ name: `${users[1]}-rust2`, user: users[1], kind: 'rust', events: [] });
    this.devices = [...js, ...rust];
    const given = ({ name, user }) => ({ name, user });
    this.clients = rust.map((device) => new RustClient(device, settings, this.#unexpected));
    for (let from = 0; from < js.length; from += 3) {
      const some = js.slice(from, from + 3);
      const clients = new JsClients(`js-${from}`, some.map(given), settings, this.#unexpected);
      clients.tails.forEach((tail, at) => { tail.device = some[at]; });
      this.clients.push(clients);
    }
  }

  /** Everybody is known to the server, and a member, before anything goes wrong. */
  async #joined() {
    const until = Date.now() + 60_000;
    const isIn = ({ events }) => events.some(({ e }) => e === 'joined');
    for (;;) {
      this.#poll();
      const missing = this.devices.filter((device) => !isIn(device));
      if (!missing.length) return;
      if (Date.now() > until || this.#faults.length) {
        const names = missing.map(({ name }) => name).join(' ');
        throw new Error(`not in the group after a minute: ${names}; ${this.#faults.join('; ')}`);
      }
      await sleep(50);
    }
  }

  #poll() { for (const one of this.clients) one.poll(); }

  async #startServer() {
    this.proxy.port = await this.server.start();
    if (this.proxy.port === null) throw new Error('the server does not start: see server.log');
  }

  // ---- what goes wrong --------------------------------------------------------------------------

  async #storm() {
    for (const one of this.clients) one.letSend(true);
    this.proxy.storm();
    const until = Date.now() + this.options.seconds * 1_000;
    const weights = Object.fromEntries(this.kind.events.map((name) => [name, WEIGHTS[name]]));
    if (!this.options.faketime) delete weights.jump;
    // The first few are one of each, one after the other, so that even a short round has all.
    const first = Object.keys(weights);
    while (Date.now() < until) {
      await sleep(this.random.scaled(200, 2_500));
      const isFirst = first.length > 0;
      const name = isFirst
        ? first.splice(this.random.below(first.length), 1)[0]
        : this.random.weighted(weights);
      const doing = this[name]().catch((error) => this.#unexpected(`${name}: ${error.stack}`));
      this.#busy.add(doing);
      doing.then(() => this.#busy.delete(doing));
      if (isFirst) await doing;
      this.#poll();
    }
    for (const one of this.clients) one.letSend(false);
    await Promise.all(this.#busy);
  }

  /** One thing at a time is done to the server's process. */
  async #alone(act) {
    if (this.isAtWork) return;
    this.isAtWork = true;
    try {
      await act();
    } finally {
      this.isAtWork = false;
    }
  }

  kill() {
    return this.#alone(async () => {
      this.proxy.port = null;
      await this.server.kill();
      this.isFull = false;
      await sleep(this.random.scaled(5, 2_000));
      await this.#startServer();
      await this.online();
    });
  }

  restart() {
    return this.#alone(async () => {
      await this.server.unfill();
      this.isFull = false;
      await this.server.stop();
      this.proxy.port = null;
      await sleep(this.random.scaled(5, 500));
      await this.#startServer();
    });
  }

  stall() {
    return this.#alone(async () => {
      const time = this.random.scaled(100, 3_000);
      this.server.stall(time);
      await sleep(time + 100);
    });
  }

  /** The disk is full for some seconds, in which the server may also be killed. */
  async fill() {
    if (this.isAtWork || this.isFull) return;
    this.isFull = true;
    const { child, figures } = this.server;
    const isFirst = figures.fills === 0;
    await this.server.fill(isFirst ? 0.2 : this.random.pick([1, 0.9, 0.5, 0.2, 0]));
    await sleep(isFirst ? 3_000 : this.random.scaled(500, 5_000));
    if (this.server.child !== child || !this.isFull) return;
    await this.server.unfill();
    this.isFull = false;
  }

  async jump() {
    this.server.figures.jumps += 1;
    this.server.setClock(this.random.between(-3, 3) * DAY_S);
  }

  async crash() {
    const one = this.random.pick(this.clients);
    if (!one.isUp) return;
    this.figures.crashes += one.devices.length;
    await one.crash();
    await sleep(this.random.scaled(5, 3_000));
    one.start();
  }

  async freeze() { this.proxy.freezeAll(this.random.scaled(100, 3_000)); }

  async cut() {
    this.proxy.figures.cuts += this.proxy.pairs.size;
    this.proxy.cutAll();
  }

  /** Browsers are told that the network is back. */
  async online() { for (const one of this.clients) one.say('online'); }

  // ---- afterwards -------------------------------------------------------------------------------

  async #calm() {
    this.server.setClock(0);
    this.proxy.calm();
    const until = Date.now() + CALM_MS;
    let quietSince = 0;
    let counted = -1;
    for (;;) {
      await this.online();
      await sleep(1_000);
      this.#poll();
      const audited = audit(this.devices, this.kind);
      const count = this.devices.reduce((sum, { events }) => sum + events.length, 0);
      if (audited.pending || count !== counted) quietSince = Date.now();
      counted = count;
      const isQuiet = Date.now() - quietSince >= QUIET_MS;
      const isBroken = this.#faults.length > 0 && Date.now() > until - CALM_MS + 20_000;
      if (isQuiet || isBroken || Date.now() > until) break;
    }
    return audit(this.options.sabotage?.(this.devices) ?? this.devices, this.kind);
  }

  #end() {
    this.#isOver = true;
    for (const one of this.clients) {
      one.isUp = false;
      one.child.kill('SIGKILL');
    }
    this.server.isWanted = false;
    this.server.child.kill('SIGKILL');
    this.proxy.close();
  }

  /** A round in which too little happened shows nothing. */
  #complainOfQuiet(figures, findings) {
    const wanted = {
      kill: 'kills', fill: 'fills', jump: 'jumps', crash: 'crashes', stall: 'stalls',
    };
    const needed = ['accepted', 'delivered', 'cuts', 'freezes', 'reordered'];
    if (this.kind.events.includes('fill')) needed.push('retries');
    for (const event of this.kind.events) {
      if (wanted[event] && (event !== 'jump' || this.options.faketime)) needed.push(wanted[event]);
    }
    for (const name of needed) {
      const text = `no ${name} in this round: too short`;
      if (!figures[name]) findings.push({ kind: 'quiet', text });
    }
  }
}
