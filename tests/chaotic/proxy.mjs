/**
 * A TCP proxy that does to connections what networks do.
 *
 *     client ==== up ====> proxy ==== up ====> server
 *            <=== down ===       <=== down ===
 *
 * Each connection is given a fate when it begins: how fast bytes go, and what happens to it after
 * how many bytes or how much time. It may be cut in the midst of a frame, on both sides or on one
 * while the other goes on believing in it; stand still for a while; or what its client said may be
 * held back until the client speaks over a newer connection, and only then reach the server.
 */

import net from 'node:net';

/** Bytes that wait in one direction before the sender is not read any more. */
const QUEUE_MAX = 64 * 1024;
const TICK_MS = 50;

/** One direction of a connection. */
class Flow {
  #queue = [];
  #queued = 0;
  #hasEnded = false;
  #timer = null;
  #lastDue = 0;
  passed = 0;
  delay = 0;
  /** Bytes for each second. */
  speed = Infinity;
  frozenUntil = 0;
  /** After how many bytes, and what then. */
  limit = Infinity;
  onLimit = () => {};
  /** Whether bytes are kept here until `release`. */
  isHeld = false;
  onPassed = () => {};

  constructor(from, to) {
    this.from = from;
    this.to = to;
    from.on('data', (bytes) => {
      this.#lastDue = Math.max(this.#lastDue, Date.now() + this.delay);
      this.#queue.push({ bytes, due: this.#lastDue });
      this.#queued += bytes.length;
      if (this.#queued > QUEUE_MAX) from.pause();
      this.pump();
    });
    from.on('end', () => { this.#hasEnded = true; this.pump(); });
    to.on('drain', () => this.pump());
  }

  freeze(until) {
    this.frozenUntil = Math.max(this.frozenUntil, until);
    this.pump();
  }

  release() {
    this.isHeld = false;
    this.pump();
  }

  pump() {
    clearTimeout(this.#timer);
    while (!this.to.destroyed && !this.isHeld && !this.to.writableNeedDrain) {
      const time = Date.now();
      const [next] = this.#queue;
      if (!next) {
        if (this.#hasEnded) this.to.end();
        return;
      }
      const wait = Math.max(next.due, this.frozenUntil) - time;
      if (wait > 0) return this.#later(wait);
      const piece = Math.min(
        next.bytes.length,
        Math.max(1, Math.floor((this.speed * TICK_MS) / 1_000)),
        this.limit - this.passed,
      );
      if (piece > 0) this.#pass(next, piece);
      if (this.passed >= this.limit) {
        this.limit = Infinity;
        this.onLimit();
      }
      if (this.speed !== Infinity) return this.#later(TICK_MS);
    }
  }

  #pass(next, piece) {
    this.to.write(next.bytes.subarray(0, piece));
    this.passed += piece;
    this.#queued -= piece;
    if (piece === next.bytes.length) this.#queue.shift();
    else next.bytes = next.bytes.subarray(piece);
    if (this.#queued <= QUEUE_MAX) this.from.resume();
    this.onPassed();
  }

  #later(wait) { this.#timer = setTimeout(() => this.pump(), wait); }

  stop() {
    clearTimeout(this.#timer);
    this.isHeld = true;
  }
}

/** A connection of a client, and the one to the server that belongs to it. */
class Pair {
  #proxy;
  #timers = [];
  /** The device, from the path of the request. */
  device = null;
  isOver = false;

  constructor(proxy, client, port) {
    this.#proxy = proxy;
    this.client = client;
    this.server = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [client, this.server]) socket.setNoDelay(true);
    this.up = new Flow(client, this.server);
    this.down = new Flow(this.server, client);
    client.once('data', (bytes) => {
      this.device = /^GET \/([\w-]+)/.exec(bytes.toString('latin1'))?.[1];
      proxy.named(this);
    });
    this.#passOn(client, this.server);
    this.#passOn(this.server, client);
  }

  /** The end of one side is the other's, unless something was done to this connection. */
  #passOn(side, other) {
    side.on('error', () => {
      if (!other.destroyed && !this.isLopsided) other.resetAndDestroy();
    });
    side.on('close', () => {
      if (!other.destroyed && !this.isLopsided) this.after(50, () => other.destroy());
      if (side.destroyed && other.destroyed) this.#end();
    });
  }

  after(wait, act) { this.#timers.push(setTimeout(() => this.isOver || act(), wait)); }

  #end() {
    this.isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.up.stop();
    this.down.stop();
    this.#proxy.pairs.delete(this);
  }

  /** Cuts both sides, or one whose peer then does not know. `RST` or `FIN`. */
  cut(sides, how) {
    if (this.isOver) return;
    this.#proxy.figures.cuts += 1;
    this.isLopsided = true;
    const sockets = [this.client, this.server];
    for (const socket of sides === 'both' ? sockets : [this[sides]]) {
      if (how === 'RST') socket.resetAndDestroy();
      else socket.destroySoon();
    }
    this.up.stop();
    this.down.stop();
    // The other side finds out by itself, or much later.
    this.after(20_000, () => this.destroy());
  }

  destroy() {
    this.client.destroy();
    this.server.destroy();
  }
}

export class Proxy {
  #random;
  #server;
  #isCalm = true;
  pairs = new Set();
  /** Pairs whose clients are gone, with what they said held back, by device. */
  #held = new Map();
  /** Where the server listens; null while there is none. */
  port = null;
  figures = { connections: 0, cuts: 0, freezes: 0, delayed: 0, throttled: 0, reordered: 0 };

  constructor(random) { this.#random = random; }

  async listen() {
    this.#server = net.createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this.#server.address().port;
  }

  close() {
    this.#server.close();
    this.cutAll();
  }

  /** From now on connections are left alone; what stands now is cut a last time. */
  calm() {
    this.#isCalm = true;
    this.cutAll();
  }

  storm() { this.#isCalm = false; }

  cutAll() {
    for (const pair of [...this.pairs]) pair.destroy();
    this.#held.clear();
  }

  freezeAll(time) {
    for (const pair of this.pairs) this.#freeze(pair, 'both', time);
  }

  #freeze(pair, which, time) {
    this.figures.freezes += 1;
    const until = Date.now() + time;
    if (which !== 'down') pair.up.freeze(until);
    if (which !== 'up') pair.down.freeze(until);
  }

  #accept(client) {
    client.on('error', () => {});
    if (this.port === null) {
      client.resetAndDestroy();
      return;
    }
    this.figures.connections += 1;
    const pair = new Pair(this, client, this.port);
    this.pairs.add(pair);
    if (!this.#isCalm) this.#decide(pair);
  }

  #decide(pair) {
    const random = this.#random;
    const fate = random.weighted({
      time: 20, bytes: 30, delay: 10, throttle: 10, freeze: 12, hole: 3, hold: 15,
    });
    const how = () => random.pick(['RST', 'FIN']);
    const sides = random.weighted({ both: 4, client: 1, server: 1 });
    const flow = random.pick([pair.up, pair.down]);
    if (fate === 'bytes') {
      flow.limit = Math.floor(random.scaled(20, 30_000));
      const end = how();
      flow.onLimit = () => pair.cut(sides, end);
    } else if (fate === 'delay') {
      this.figures.delayed += 1;
      pair.up.delay = random.scaled(2, 300);
      pair.down.delay = random.scaled(2, 300);
    } else if (fate === 'throttle') {
      this.figures.throttled += 1;
      flow.speed = random.scaled(2_000, 50_000);
    } else if (fate === 'freeze') {
      const which = random.pick(['up', 'down', 'both']);
      const time = random.scaled(200, 6_000);
      pair.after(random.scaled(50, 5_000), () => this.#freeze(pair, which, time));
    } else if (fate === 'hole') {
      // Nothing more, and nobody is told.
      pair.after(random.scaled(50, 5_000), () => this.#freeze(pair, 'both', 60_000));
      return;
    } else if (fate === 'hold') {
      this.#holdLater(pair);
      return;
    }
    const end = how();
    pair.after(random.scaled(500, 12_000), () => pair.cut(sides, end));
  }

  /** At some point what the client says stays here, and the client is cut off. */
  #holdLater(pair) {
    const random = this.#random;
    const stay = random.scaled(5, 1_000);
    // From the hello on, which is the first that follows some 200 bytes of handshake, or later.
    pair.up.limit = 230 + (random.chance(0.3) ? 0 : Math.floor(random.scaled(100, 10_000)));
    pair.up.onLimit = () => {
      pair.up.isHeld = true;
      pair.after(stay, () => {
        this.figures.cuts += 1;
        pair.isLopsided = true;
        this.#held.set(pair.device, pair);
        pair.client.resetAndDestroy();
        pair.after(15_000, () => pair.destroy());
      });
    };
  }

  /** A connection said whose it is: time for what its older one said. */
  named(pair) {
    const held = this.#held.get(pair.device);
    if (!held || held === pair) return;
    this.#held.delete(pair.device);
    const wanted = this.#random.chance(0.5) ? 0 : Math.floor(this.#random.scaled(200, 2_000));
    let isDone = false;
    const release = () => {
      if (isDone || held.isOver) return;
      isDone = true;
      this.figures.reordered += 1;
      held.up.release();
    };
    pair.up.onPassed = () => {
      if (pair.up.passed >= wanted) setTimeout(release, this.#random.scaled(1, 300));
    };
    pair.after(3_000, release);
  }
}
