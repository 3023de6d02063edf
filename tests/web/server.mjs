// A small server that keeps the rules of switchboard.v1 (R2 to R11), on a network that does not.
//
//   client socket --frames, late, in order--> Line --> Server --> log of each user --> lines
//
// A line can be cut: what was on its way is lost, or still arrives after the client has given up.

const INFLIGHT = 64;

/** One connection and the network below it. */
export class Line {
  constructor(world, server, socket) {
    Object.assign(this, { world, server, socket, isCut: false, isClosed: false, conn: null });
    // A proxy holds some up, so that a hello comes after that of the next connection.
    const held = world.random.below(8) ? 0 : world.now + world.random.below(3_000);
    this.due = { up: held, down: 0 };
  }

  /** `act` after some time, but not before what was sent earlier in this direction. */
  #later(way, act) {
    const at = Math.max(this.due[way], this.world.now + 1 + this.world.random.below(40));
    this.due[way] = at;
    setTimeout(act, at - this.world.now);
  }

  up(text) {
    if (this.isCut) return;
    this.#later('up', () => this.isLost || this.server.hear(this, JSON.parse(text)));
  }

  down(frame) {
    const data = JSON.stringify(frame);
    this.#later('down', () => this.isCut || this.socket.onmessage?.({ data }));
  }

  /** The server closes it. */
  end(code) {
    this.server.lines.delete(this);
    this.#later('down', () => this.isCut || this.#tell(code));
  }

  /** The client closes it. */
  leave() {
    this.isCut = true;
    this.#later('up', () => this.server.gone(this));
  }

  /** The network ends it: nobody hears anything any more, each side notices at its own time. */
  cut({ isLate, isSilent }) {
    if (this.isCut) return;
    this.isCut = true;
    this.isLost = !isLate;
    if (!isSilent) setTimeout(() => this.#tell(1006), this.world.random.below(300));
    setTimeout(() => this.server.gone(this), 300 + this.world.random.below(20_000));
  }

  #tell(code) {
    this.isCut = true;
    this.socket.onclose?.({ code, reason: '' });
  }
}

export class Server {
  constructor(world, { logMax = 1000 } = {}) {
    Object.assign(this, { world, logMax, epochs: 0, lines: new Set(), busy: 0 });
    this.applied = []; // everything that ever took effect: { epoch, user, client, token }
    this.forget();
  }

  /** Everything is gone: a server without a store that starts anew. */
  forget() {
    this.epochs += 1;
    Object.assign(this, { epoch: `e${this.epochs}`, counter: 0, users: new Map() });
  }

  user(name) {
    if (!this.users.has(name)) {
      this.users.set(name, {
        name, all: [], dropped: 0, acked: 0, clients: new Map(), groups: new Set(),
      });
    }
    return this.users.get(name);
  }

  /** Stops and starts again, keeping its store or not. */
  stop({ keepsStore }) {
    for (const line of [...this.lines]) line.end(1012);
    if (!keepsStore) this.forget();
  }

  gone(line) {
    line.isGone = true;
    this.lines.delete(line);
  }

  hear(line, frame) {
    if (frame.type === 'hello') {
      if (!line.isGone) this.hello(line, frame);
    } else if (this.lines.has(line)) this.listen(line, frame);
  }

  hello(line, { client, attempt, next, user, epoch, seq }) {
    for (const other of this.lines) {
      if (other.user.name === user && other.client === client) {
        if (other.attempt > attempt) {
          line.end(4409);
          return;
        }
        other.end(4409);
      }
    }
    const owner = this.user(user);
    const known = owner.clients.get(client) ?? { last: 0, isKnown: false, refused: new Set() };
    owner.clients.set(client, known);
    known.last = Math.max(known.last, next - 1);
    let cursor = seq;
    let gap;
    if (epoch === undefined) cursor = seq === 0 ? owner.dropped : this.counter;
    else if (epoch !== this.epoch) gap = 'epoch';
    else if (seq < owner.dropped) gap = 'overflow';
    if (gap) {
      cursor = owner.dropped;
      gap = { after: seq, until: cursor, reason: gap };
    }
    Object.assign(line, { user: owner, client, attempt, cursor, expect: 0, known });
    this.lines.add(line);
    line.down({
      type: 'welcome', user, epoch: this.epoch, seq: cursor, resumed: epoch !== undefined && !gap,
      last: known.isKnown ? known.last : null, refused: [...known.refused], ping: 25,
      limits: { inflight: INFLIGHT, message: 1000 }, gap,
    });
    this.deliver(owner);
  }

  listen(line, frame) {
    const { known } = line;
    const { id } = frame;
    if (frame.type === 'ack') {
      if (frame.seq > line.cursor) throw new Error(`acknowledged ahead: ${frame.seq}`);
      line.user.acked = Math.max(line.user.acked, frame.seq);
      return;
    }
    if (!id) {
      this.decide(line, frame);
      return;
    }
    if (line.expect && id > line.expect) return; // R4
    const again = (reason, code, expect) => {
      line.expect = expect;
      line.down({ type: 'error', id, code, reason, retry: true, expect, after: 200 });
    };
    if (this.busy > 0) {
      this.busy -= 1;
      again('store', 503, id);
      return;
    }
    line.expect = 0;
    if (id <= known.last - 64) throw new Error(`an id that is too old: ${id}`);
    if (id <= known.last) {
      const refusal = { type: 'error', id, code: 410, reason: 'refused', dup: true };
      line.down(known.refused.has(id) ? refusal : { type: 'ok', id, dup: true });
    } else if (id > known.last + 1) again('expected', 409, known.last + 1);
    else {
      const reason = this.decide(line, frame);
      Object.assign(known, { last: id, isKnown: true });
      if (reason) known.refused.add(id);
      for (const old of known.refused) if (old <= id - 64) known.refused.delete(old);
      line.down(reason ? { type: 'error', id, code: 403, reason } : { type: 'ok', id });
    }
  }

  decide(line, { type, id, group, receiver, content }) {
    const { user, client } = line;
    if (type === 'join') user.groups.add(group);
    if (type === 'leave') user.groups.delete(group);
    if (type) return undefined;
    if (content.isBad) return 'forbidden';
    if (group && !user.groups.has(group)) return 'not_a_member';
    const members = [...this.users.values()].filter(({ groups }) => groups.has(group));
    const heirs = new Set(group ? members : [this.user(receiver), user]);
    this.counter += 1;
    const { token } = content;
    this.applied.push({ epoch: this.epoch, user: user.name, client, token });
    const entry = {
      seq: this.counter, client, user, frame: {
        seq: this.counter, sender: user.name, receiver, group, content, mid: `${client}:${id}`,
      },
    };
    for (const heir of heirs) {
      heir.all.push(entry);
      const kept = heir.all.filter(({ seq }) => seq > heir.dropped);
      if (kept.length > this.logMax) heir.dropped = kept.at(-this.logMax - 1).seq;
      this.deliver(heir);
    }
    return undefined;
  }

  deliver(owner) {
    for (const line of this.lines) {
      if (line.user === owner && !line.isSlow) {
        if (line.cursor < owner.dropped) {
          const gap = { after: line.cursor, until: owner.dropped, reason: 'overflow' };
          line.down({ type: 'gap', ...gap });
          line.cursor = owner.dropped;
        }
        for (const { seq, client, user, frame } of owner.all) {
          if (seq <= line.cursor) continue;
          line.cursor = seq;
          if (client !== line.client || user !== owner) line.down(frame);
        }
      }
    }
  }

  /** As by its timer. */
  ping() {
    for (const line of this.lines) line.down({ type: 'ping', seq: line.cursor });
  }
}
