/**
 * The processes that a round starts, each ended by the id that it was given: clients of both
 * kinds, and the server.
 */

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Journal, Tail, now } from './journal.mjs';
import { Random } from './random.mjs';
import { GROUP, intentOf, isWhole, nextFrame, nextSending } from './traffic.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const running = new Set();
// Whatever ends this process ends those too.
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

/** A child process, and the promise of its end. */
function start(command, given, options) {
  const child = spawn(command, given, options);
  running.add(child);
  child.stdin?.on('error', () => {});
  child.over = new Promise((resolve) => {
    child.on('exit', (code, signal) => { running.delete(child); resolve({ code, signal }); });
    child.on('error', (error) => { running.delete(child); resolve({ code: error.message }); });
  });
  return child;
}

/** What clients have in common: they are killed, and started again. */
class Client {
  isUp = false;
  /** Whether it sends, also when it was started again. */
  isSending = false;

  constructor(name, unexpected) {
    this.name = name;
    this.unexpected = unexpected;
  }

  start() {
    this.isUp = true;
    const child = this.launch();
    this.child = child;
    if (this.isSending) this.send(true);
    child.over.then(({ code, signal }) => {
      if (this.child !== child || !this.isUp) return;
      this.isUp = false;
      this.unexpected(`${this.name} ended by itself: ${signal ?? `exit code ${code}`}`);
    });
  }

  letSend(isSending) {
    this.isSending = isSending;
    if (this.isUp) this.send(isSending);
  }

  async crash() {
    this.isUp = false;
    this.child.kill('SIGKILL');
    await this.child.over;
    this.afterwards?.();
  }
}

/** Some devices with the JavaScript client, in one process. */
export class JsClients extends Client {
  constructor(name, devices, settings, unexpected) {
    super(name, unexpected);
    this.devices = devices;
    this.settings = settings;
    this.tails = devices.map((device) => {
      return { device, tail: new Tail(path.join(settings.directory, `${device.name}.journal`)) };
    });
  }

  launch() {
    const { directory } = this.settings;
    const log = fs.openSync(path.join(directory, `${this.name}.log`), 'a');
    const config = JSON.stringify({ ...this.settings, devices: this.devices });
    const child = start(process.execPath, [path.join(here, 'js-clients.mjs'), config], {
      stdio: ['pipe', log, log],
    });
    fs.closeSync(log);
    return child;
  }

  say(line) { if (this.isUp) this.child.stdin.write(`${line}\n`); }

  send(isSending) { this.say(isSending ? 'go' : 'stop'); }

  /** Gives each device the events that it noted since. */
  poll() {
    for (const { device, tail } of this.tails) {
      for (const line of tail.lines()) device.events.push(JSON.parse(line));
    }
  }
}

/** One device with `switchboard connect`, a process of its own. */
export class RustClient extends Client {
  #life = 0;
  #outputs = [];
  #isIn = false;
  #k = 0;
  #open = new Set(); // sent and not answered
  #timer = null;

  constructor(device, settings, unexpected) {
    super(device.name, unexpected);
    this.device = device;
    this.devices = [device];
    this.settings = settings;
    this.random = new Random(`${settings.seed} ${device.name}`);
    // What the program prints is a journal already; this one is what it was given to send.
    this.journal = new Journal(path.join(settings.directory, `${device.name}.journal`));
  }

  launch() {
    const { directory, url, server } = this.settings;
    const { name, user } = this.device;
    this.#life += 1;
    const file = path.join(directory, `${name}.${this.#life}.out`);
    const out = fs.openSync(file, 'a');
    const log = fs.openSync(path.join(directory, `${name}.log`), 'a');
    const state = path.join(directory, `${name}.state`);
    const given = ['connect', `${url}/${name}`, '--user', user, '--json', '--wait'];
    const child = start(server, [...given, '--state', state, '--from', 'kept'], {
      stdio: ['pipe', out, log],
    });
    fs.closeSync(out);
    fs.closeSync(log);
    this.#outputs.push(new Tail(file));
    this.#note({ e: 'life' });
    const join = { type: 'join', group: GROUP, tag: 'join' };
    if (!this.#isIn) child.stdin.write(`${JSON.stringify(join)}\n`);
    return child;
  }

  afterwards() {
    clearTimeout(this.#timer);
    this.poll();
    // What it had not queued is not in its state, and will not be answered.
    this.#open.clear();
  }

  send(isSending) {
    clearTimeout(this.#timer);
    if (isSending) this.#sendSoon();
  }

  say() {}

  #sendSoon() {
    const { count, wait } = nextSending(this.random, this.settings.rate);
    this.#timer = setTimeout(() => {
      if (!this.isUp) return;
      if (this.#open.size < PENDING_MAX) {
        for (let sent = 0; sent < count; sent += 1) this.#send();
      }
      this.#sendSoon();
    }, wait);
  }

  #send() {
    this.#k += 1;
    const frame = nextFrame(this.random, this.name, this.#k, this.settings.users);
    this.#open.add(this.#k);
    this.#note(intentOf(frame));
    this.child.stdin.write(`${JSON.stringify({ ...frame, tag: this.#k })}\n`);
  }

  #note(event) {
    this.journal.write(event);
    this.device.events.push({ t: now(), ...event });
  }

  /** What it printed since, as events of a journal. */
  poll() {
    for (const line of this.#outputs.flatMap((output) => output.lines())) {
      const event = readEvent(JSON.parse(line));
      if (!event) continue;
      if (event.e === 'ok' || event.e === 'error') this.#open.delete(event.k);
      this.#isIn ||= event.e === 'joined';
      this.device.events.push({ t: now(), ...event });
    }
  }
}

/** A line of `switchboard connect --json` as an event of a journal. */
export function readEvent(line) {
  const { event, tag, epoch, seq, resumed, last, uncertain } = line;
  switch (event) {
    case 'welcome': return { e: 'welcome', epoch, seq, resumed, last, uncertain };
    case 'queued': return typeof tag === 'number' ? { e: 'queued', k: tag } : null;
    case 'gap': {
      const { after, until, reason, dropped } = line;
      return { e: 'gap', after, until, reason, dropped };
    }
    case 'message': {
      const { sender, mid, content } = line;
      const heard = { e: 'msg', d: content.d, k: content.k, sender, seq, mid, epoch };
      return isWhole(content) ? heard : { ...heard, isBroken: true };
    }
    case 'ok':
      if (tag === 'join') return { e: 'joined' };
      if (typeof tag !== 'number') return null;
      return { e: 'ok', k: tag, logged: line.logged, dup: line.dup };
    case 'error':
      if (line.retry) return { e: 'retry', code: line.code, reason: line.reason };
      if (typeof tag !== 'number') return { e: 'fault', reason: JSON.stringify(line) };
      return { e: 'error', k: tag, code: line.code, reason: line.reason };
    case 'receipt': return { e: 'receipt', mid: line.mid, by: line.user };
    case 'closed': return { e: 'state', state: 'closed', code: line.code, reason: line.why };
    default: return null;
  }
}

const PENDING_MAX = 300;

/** The server under test, on the same data each time it is started. */
export class Server {
  #options;
  #clock;
  child = null;
  port = null;
  figures = { kills: 0, restarts: 0, stalls: 0, fills: 0, jumps: 0 };

  /**
   * @param {object} options `server` (the binary), `directory`, `flags`, and `faketime`, a library
   *   that lies about the time of day, if there is one
   */
  constructor(options, unexpected) {
    this.#options = options;
    this.unexpected = unexpected;
    this.#clock = path.join(options.directory, 'clock');
    this.log = fs.openSync(path.join(options.directory, 'server.log'), 'a');
    this.setClock(0);
  }

  async start() {
    const { server, flags, faketime } = this.#options;
    const env = { ...process.env };
    delete env.SWITCHBOARD_BIN; // no setting of the server's
    if (faketime) {
      Object.assign(env, {
        LD_PRELOAD: faketime,
        FAKETIME_TIMESTAMP_FILE: this.#clock,
        FAKETIME_CACHE_DURATION: '1',
        // A clock that is set is the one of the day; no kernel lets one set the other.
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        // Times of files are the kernel's.
        NO_FAKE_STAT: '1',
      });
    }
    const child = start(server, ['serve', '--listen', '127.0.0.1:0', ...flags], {
      env, stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    this.isWanted = true;
    const port = await new Promise((resolve) => {
      let said = '';
      const read = (bytes) => {
        fs.writeSync(this.log, bytes);
        said = (said + bytes).slice(-4_096);
        const found = /listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(said);
        if (found) resolve(Number(found[1]));
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.over.then(() => resolve(null));
    });
    child.over.then(({ code, signal }) => {
      if (this.child !== child || !this.isWanted) return;
      this.isWanted = false;
      this.unexpected(`the server ended by itself: ${signal ?? `exit code ${code}`}`);
    });
    this.port = port;
    return port;
  }

  async kill() {
    this.isWanted = false;
    this.port = null;
    this.child.kill('SIGKILL');
    this.figures.kills += 1;
    await this.child.over;
  }

  /** Stops it as an operator does. */
  async stop() {
    this.isWanted = false;
    this.child.kill('SIGTERM');
    this.figures.restarts += 1;
    const patience = setTimeout(() => {
      this.unexpected('the server does not stop on TERM within 30 s');
      this.child.kill('SIGKILL');
    }, 30_000);
    const { code } = await this.child.over;
    clearTimeout(patience);
    this.port = null;
    if (code !== 0) this.unexpected(`the server stopped with exit code ${code}`);
  }

  /** Nothing moves in it for some time. */
  stall(time) {
    const { child } = this;
    this.figures.stalls += 1;
    child.kill('SIGSTOP');
    setTimeout(() => child.kill('SIGCONT'), time);
  }

  /**
   * No file of the server may grow beyond a part of what the largest has now. With a part below 1
   * the disk does not only have no room: it refuses places that were written before.
   */
  async fill(part) {
    const { data } = this.#options;
    const sizes = fs.readdirSync(data).map((name) => fs.statSync(path.join(data, name)).size);
    this.figures.fills += 1;
    await this.#limit(Math.floor(Math.max(0, ...sizes) * part));
  }

  async unfill() { await this.#limit('unlimited'); }

  async #limit(most) {
    const { pid } = this.child;
    await start('prlimit', [`--pid=${pid}`, `--fsize=${most}:`], { stdio: 'ignore' }).over;
  }

  /** Sets the server's clock so many seconds off. */
  setClock(seconds) {
    const sign = seconds < 0 ? '-' : '+';
    fs.writeFileSync(`${this.#clock}.new`, `${sign}${Math.abs(Math.round(seconds))}\n`);
    fs.renameSync(`${this.#clock}.new`, this.#clock);
  }
}
