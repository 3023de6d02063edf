/**
 * A process with some devices that use the shipped JavaScript client. It is killed at any moment
 * and started again on the same files.
 *
 *     node js-clients.mjs '{"url":"ws://…","devices":[{"name":"u0-js","user":"u0"}],…}'
 *
 * It takes lines on its standard input: `go` (begin to send), `stop` (send nothing more), `online`
 * (the network is said to be back). It ends with its input.
 */

import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { Journal, readJournal } from './journal.mjs';
import { Random } from './random.mjs';
import { fileStorage } from './storage.mjs';
import { GROUP, intentOf, isWhole, nextFrame, nextSending } from './traffic.mjs';

const { url, devices, users, directory, rate, seed, modules, client } = JSON.parse(process.argv[2]);
const WebSocket = createRequire(modules)('ws');

// What a page has and Node has not: the events by which a browser says that the network changed.
const page = new EventTarget();
for (const name of ['addEventListener', 'removeEventListener', 'dispatchEvent']) {
  globalThis[name] = page[name].bind(page);
}
const { connect } = await import(client);

let isSending = false;

class Device {
  constructor({ name, user }) {
    this.name = name;
    const file = path.join(directory, `${name}.journal`);
    this.journal = new Journal(file);
    const past = readJournal(file);
    this.k = past.reduce((most, { e, k }) => (e === 'intent' ? Math.max(most, k) : most), 0);
    this.random = new Random(`${seed} ${name} ${this.k}`);
    this.journal.write({ e: 'life' });
    const journal = this.journal;
    this.chat = connect(`${url}/${name}`, {
      user,
      storage: fileStorage(path.join(directory, `${name}.storage`)),
      WebSocket: watched(journal),
    });
    this.chat.on('message', (message) => this.heard(message));
    this.chat.on('gap', (gap) => journal.write({ e: 'gap', ...gap, type: undefined }));
    this.chat.on('settled', (event) => this.settled(event));
    this.chat.on('receipt', ({ mid, user: by }) => journal.write({ e: 'receipt', mid, by }));
    this.chat.on('error', (error) => {
      journal.write({ e: 'fault', reason: error.reason ?? String(error.stack) });
    });
    this.chat.on('state', ({ state, code, reason }) => {
      journal.write({ e: 'state', state, code, reason });
    });
    if (!past.some(({ e }) => e === 'joined')) this.join();
  }

  async join() {
    await this.chat.join(GROUP);
    this.journal.write({ e: 'joined' });
  }

  sendSoon() {
    const { count, wait } = nextSending(this.random, rate);
    setTimeout(() => {
      if (!isSending) return;
      if (this.chat.pending.length < PENDING_MAX) {
        for (let sent = 0; sent < count; sent += 1) this.send();
      }
      this.sendSoon();
    }, wait);
  }

  send() {
    this.k += 1;
    const frame = nextFrame(this.random, this.name, this.k, users);
    this.journal.write(intentOf(frame));
    this.chat.send(frame);
    // It is in storage: this device will hear what became of it, whatever happens.
    this.journal.write({ e: 'queued', k: this.k });
  }

  heard({ sender, seq, mid, epoch, content }) {
    const { d, k } = content;
    const event = { e: 'msg', d, k, sender, seq, mid, epoch };
    if (!isWhole(content)) event.isBroken = true;
    this.journal.write(event);
  }

  settled({ message, result, error }) {
    const { k } = message.content;
    if (result) {
      const { mid, logged, dup } = result;
      this.journal.write({ e: 'ok', k, mid, logged, dup });
    } else {
      const { code, reason, uncertain } = error;
      this.journal.write({ e: 'error', k, code, reason, uncertain });
    }
  }
}

/** More than may be unanswered, so that the outbox is never far from full. */
const PENDING_MAX = 300;

/** The WebSocket that the client is given, which notes what the client does not tell. */
function watched(journal) {
  return class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.on('message', (data) => {
        const text = String(data);
        if (text.startsWith('{"type":"welcome"')) {
          const { epoch, seq, resumed, last } = JSON.parse(text);
          journal.write({ e: 'welcome', epoch, seq, resumed, last });
        } else if (text.startsWith('{"type":"error"') && text.includes('"retry":true')) {
          const { code, reason } = JSON.parse(text);
          journal.write({ e: 'retry', code, reason });
        }
      });
    }
  };
}

const all = devices.map((device) => new Device(device));

readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line === 'go') {
      isSending = true;
      for (const device of all) device.sendSoon();
    }
    if (line === 'online') globalThis.dispatchEvent(new Event('online'));
    if (line === 'stop') isSending = false;
  })
  .on('close', () => {
    for (const { chat } of all) chat.close();
    process.exit(0);
  });
