// One client on sockets whose other end is the test.
//
//   const desk = new Desk(t); const chat = await desk.start(); await desk.socket.welcome();
//   desk.socket.sent              what the client has said, parsed
//   await desk.socket.say({...})  what the server says

import assert from 'node:assert/strict';

import { Device, load, Page, settle, World } from './world.mjs';

export const URL_HERE = 'wss://chat.example/';

export class Desk {
  constructor(t, seed = 1) {
    this.world = new World(seed);
    this.world.install();
    t.after(() => this.world.restore());
    this.sockets = [];
    this.device = new Device();
    this.page = new Page(this.device);
    this.events = [];
    const desk = this;
    this.WebSocket = class extends Socket {
      constructor(...args) {
        super(...args);
        desk.sockets.push(this);
      }
    };
  }

  get socket() { return this.sockets.at(-1); }

  /** Connects, with storage and locks of the page; `isDeaf`: without a handler for messages. */
  async start({ isDeaf, client, ...options } = {}) {
    const { connect } = await load(this.change);
    const { storage, locks, tab } = this.page;
    const chat = connect(URL_HERE, {
      user: 'bob', storage, locks, tab, WebSocket: this.WebSocket, client, ...options,
    });
    for (const type of ['gap', 'state', 'presence', 'receipt', 'error', 'settled']) {
      chat.on(type, (event) => { this.events.push([type, event]); });
    }
    if (!isDeaf) chat.on('message', (event) => { this.events.push(['message', event]); });
    this.chat = chat;
    await settle();
    await settle();
    await this.world.pass(0);
    return chat;
  }

  /** Connected, welcome, with nothing said since. */
  async online(options, welcome) {
    const chat = await this.start(options);
    await this.socket.welcome(welcome);
    this.socket.sent.length = 0;
    return chat;
  }

  /** Events of this type, and they are forgotten. */
  took(type) {
    const found = this.events.filter(([name]) => name === type).map(([, event]) => event);
    this.events = this.events.filter(([name]) => name !== type);
    return found;
  }

  contents() { return this.took('message').map(({ content }) => content); }
}

class Socket {
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, sent: [], isClosed: false });
  }

  send(text) {
    if (this.isClosed) throw new Error('closed');
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.isClosed = true;
    this.closeCode = code;
  }

  async open() {
    this.onopen?.();
    await settle();
  }

  async say(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    await settle();
  }

  async end(code = 1006, reason = '') {
    this.isClosed = true;
    this.onclose?.({ code, reason });
    await settle();
  }

  async welcome(more = {}) {
    await this.open();
    await this.say({
      type: 'welcome', user: 'bob', epoch: 'e1', seq: 0, resumed: false, last: null, refused: [],
      ping: 25, limits: { inflight: 64, message: 1000 }, ...more,
    });
  }

  /** What it has said since it was asked. */
  said() { return this.sent.splice(0); }
}

/** How a promise ended: the result, the error, or undefined if it has not. */
export async function outcome(promise) {
  let end;
  promise.then((result) => { end = { result }; }, (error) => { end = { error }; });
  await settle();
  return end;
}

export function assertError(end, reason, more = {}) {
  assert.equal(end?.error?.reason, reason);
  for (const [key, value] of Object.entries(more)) assert.deepEqual(end.error[key], value, key);
}
