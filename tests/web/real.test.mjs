// The client in Node against the real server: the dialect as it is, not as a test believes it is.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, connect as dial } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startServer } from '../browser/server.mjs';
import { connect, memoryStorage } from '../../src/web/switchboard.js';

const MODULES = process.env.WEB_MODULES;
const skip = MODULES ? false : 'tests/web/run says where what it needs is';
const TIMEOUT_MS = 60_000; // of a test that would hang
const real = (name, run) => test(name, { skip, timeout: TIMEOUT_MS }, run);
const WebSocket = globalThis.WebSocket
  ?? (MODULES && createRequire(MODULES)('ws')); // Node before 22
const SOURCE = fileURLToPath(new URL('../../src/web/', import.meta.url));

let server;
const chats = new Set();
before(async () => { if (!skip) server = await startServer(); });
after(async () => {
  for (const chat of chats) chat.close();
  await server?.stop();
});

/** Somebody who remembers what came; `near` is where to connect. */
function person(user, { near = server, isDeaf, ...options } = {}) {
  const chat = connect(near.webSocket, { user, WebSocket, ...options });
  chats.add(chat);
  const heard = [];
  const waits = [];
  const note = (what) => {
    heard.push(what);
    for (const look of [...waits]) look();
  };
  if (!isDeaf) chat.on('message', ({ content }) => note(content));
  for (const type of ['gap', 'receipt', 'error', 'state']) {
    chat.on(type, (event) => note({ [type]: event }));
  }
  /** When all that has come is as it should be. */
  const until = (isIt, what = String(isIt)) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(
      new Error(`${user} waited for ${what}: ${JSON.stringify(heard)}`)), 20_000);
    const look = () => {
      if (!isIt(heard)) return;
      clearTimeout(timer);
      waits.splice(waits.indexOf(look), 1);
      resolve();
    };
    waits.push(look);
    look();
  });
  const contents = () => heard.filter((one) => !one?.state && !one?.gap && !one?.receipt);
  const open = () => until(() => chat.state === 'open', 'open');
  return { chat, heard, note, until, contents, open };
}

/** A proxy that can cut, and hold up, everything that goes through it. */
async function startProxy(port) {
  const pairs = new Set();
  const proxy = createServer((inner) => {
    const outer = dial(port, '127.0.0.1');
    const pair = [inner, outer];
    pairs.add(pair);
    for (const [from, to] of [[inner, outer], [outer, inner]]) {
      from.on('error', () => {});
      from.pipe(to);
      from.on('close', () => { to.destroy(); pairs.delete(pair); });
    }
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  return {
    webSocket: `ws://127.0.0.1:${proxy.address().port}`,
    cut() { for (const pair of pairs) for (const socket of pair) socket.destroy(); },
    stop() {
      this.cut();
      proxy.close();
    },
  };
}

real('a message, its answer, its receipt', async () => {
  const [alice, bob] = [person('alice'), person('bob')];
  await Promise.all([alice.open(), bob.open()]);
  const content = { text: 'hi 🎉', list: [1, null] };
  const sent = await bob.chat.send({ receiver: 'alice', content, receipt: true });
  assert.equal(sent.mid, `${bob.chat.client}:1`);
  assert.equal(sent.online, 1);
  await alice.until(() => alice.contents().length);
  assert.deepEqual(alice.contents(), [content]);
  await bob.until((heard) => heard.some((one) => one.receipt?.mid === sent.mid));
});

real('refused: nobody is there; not a member', async () => {
  const { chat } = person('carol');
  await assert.rejects(chat.send({ receiver: 'nobody', content: 1 }),
    { code: 404, reason: 'receiver_offline', uncertain: false });
  await assert.rejects(chat.send({ group: 'strangers', content: 1 }),
    { code: 403, reason: 'not_a_member' });
  await assert.rejects(chat.send({ receiver: 'nobody', content: 'x'.repeat(2 ** 20) }),
    { code: 413, reason: 'message_too_large' });
});

real('groups, and a message for who is away', async () => {
  const storage = memoryStorage();
  const david = person('dave', { storage, groups: ['team'] });
  await david.chat.join('team');
  const eve = person('eve', { groups: ['team'] });
  await eve.chat.send({ group: 'team', content: 'first' });
  await david.until(() => david.contents().includes('first'));
  david.chat.close();
  await eve.chat.send({ group: 'team', content: 'second' });
  await eve.chat.send({ receiver: 'dave', content: 'third' });
  const dave = person('dave', { storage, groups: ['team'] });
  await dave.until(() => dave.contents().length === 2);
  assert.deepEqual(dave.contents(), ['second', 'third'], 'and not the first again');
  await eve.chat.leave('team');
  await assert.rejects(eve.chat.send({ group: 'team', content: 1 }), { reason: 'not_a_member' });
});

real('who only sends takes nothing away', async () => {
  const frank = person('frank', { isDeaf: true });
  const gina = person('gina');
  await frank.open();
  await gina.chat.send({ receiver: 'frank', content: 'for a device that listens' });
  const device = person('frank');
  await device.until(() => device.contents().length);
  frank.chat.on('message', ({ content }) => frank.note(content));
  await frank.until(() => frank.contents().length);
});

real('through cuts nothing is lost, doubled or out of order', async (t) => {
  const proxy = await startProxy(server.port);
  t.after(() => proxy.stop());
  const [hugo, ida] = [person('hugo', { near: proxy }), person('ida', { near: proxy })];
  await Promise.all([hugo.open(), ida.open()]);
  const COUNT = 600;
  const sent = [];
  for (let n = 0; n < COUNT; n += 1) {
    sent.push(hugo.chat.send({ receiver: 'ida', content: n }));
    if (n % 10 === 9) await new Promise((resolve) => { setTimeout(resolve, 5); });
    if (n % 100 === 57) {
      await hugo.open(); // and sends what has waited, of which some is answered
      await new Promise((resolve) => { setTimeout(resolve, 2); });
      proxy.cut();
      await hugo.until(() => hugo.chat.state === 'waiting', 'the cut');
    }
  }
  await Promise.all(sent);
  await ida.until(() => ida.contents().length >= COUNT, 'all of them');
  assert.deepEqual(ida.contents(), Array.from({ length: COUNT }, (_, n) => n));
  assert.ok(hugo.heard.filter(({ state }) => state?.state === 'waiting').length >= 5, 'it was cut');
  hugo.chat.close();
  ida.chat.close();
});

real('a server that restarts without a store: gaps are announced, groups joined again, what was '
  + 'not answered is sent', async (t) => {
  let own = await startServer();
  t.after(() => own.stop());
  const { port } = own;
  const [kim, leo] = ['kim', 'leo'].map((name) => person(name, { near: own, groups: ['g'] }));
  // Open is not yet a member: what one connection says may overtake what another said before.
  await leo.chat.join('g');
  await kim.chat.send({ group: 'g', content: 'before' });
  await leo.until(() => leo.contents().includes('before'));
  await own.stop();
  const promise = kim.chat.send({ group: 'g', content: 'between' });
  own = await startServer({ port });
  await promise;
  await leo.until(() => leo.heard.some(({ gap }) => gap?.reason === 'epoch'));
  await leo.chat.join('g');
  await kim.chat.send({ group: 'g', content: 'after' });
  await leo.until(() => leo.contents().includes('after'));
  kim.chat.close();
  leo.chat.close();
});

real('a server that is killed while handlers wait for their answers: each message is handled and '
  + 'answered once, in order', async (t) => {
  const folder = mkdtempSync(join(MODULES, 'killed-'));
  const more = ['--data', join(folder, 'data')];
  let own = await startServer({ more });
  t.after(async () => {
    await own.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const { port } = own;
  const bot = person('bot', { near: own, isDeaf: true });
  const peg = person('peg', { near: own });
  const handled = [];
  bot.chat.on('message', async ({ content, sender }) => {
    handled.push(content);
    await new Promise((resolve) => { setTimeout(resolve, 30); });
    await bot.chat.send({ receiver: sender, content: `re: ${content}` });
  });
  await Promise.all([bot.open(), peg.open()]);
  const COUNT = 30;
  for (let n = 0; n < COUNT; n += 1) {
    await peg.chat.send({ receiver: 'bot', content: n });
    if (n % 10 !== 7) continue;
    await own.stop('SIGKILL');
    own = await startServer({ port, more });
  }
  await peg.until(() => peg.contents().length >= COUNT, 'all answers');
  assert.deepEqual(handled, Array.from({ length: COUNT }, (_, n) => n));
  assert.deepEqual(peg.contents(), handled.map((n) => `re: ${n}`));
  assert.deepEqual([bot.chat.pending, bot.chat.state], [[], 'open']);
  bot.chat.close();
  peg.chat.close();
});

real('a server that is told to stop says when to come back', async (t) => {
  const own = await startServer();
  t.after(() => own.stop());
  const mia = person('mia', { near: own });
  await mia.open();
  own.signal('SIGTERM');
  await mia.until((heard) => heard.some(({ state }) => state?.state === 'waiting'));
  const { state: { code } } = mia.heard.find(({ state }) => state?.state === 'waiting');
  assert.equal(code, 1012);
  mia.chat.close();
});

real('a token that is refused is asked for once more, then it stops', async (t) => {
  const folder = join(MODULES, 'tokens');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'tokens.json');
  const table = '{"tokens":[{"token":"b7c1b0f0f3a94e0e93b1","user":"nora"}]}';
  writeFileSync(file, table, { mode: 0o600 });
  const own = await startServer({ more: ['--auth', `tokens:${file}`] });
  t.after(() => own.stop());
  const given = ['expired', 'b7c1b0f0f3a94e0e93b1'];
  const nora = person('nora', { near: own, token: () => given.shift() });
  await nora.open();
  assert.deepEqual([given, nora.chat.user], [[], 'nora']);
  for (const token of ['wrong', () => 'wrong']) {
    const other = person('nora', { near: own, token });
    await other.until(() => other.chat.state === 'refused', 'refused');
    assert.equal(other.heard.at(-1).state.code, 4401);
    await assert.rejects(other.chat.send({ receiver: 'nora', content: 1 }), { reason: 'refused' });
  }
  const wrong = person('oskar', { near: own, token: 'b7c1b0f0f3a94e0e93b1' });
  await wrong.until(() => wrong.chat.state === 'refused', 'refused');
  assert.equal(wrong.heard.at(-1).state.code, 4403, 'nobody takes the outbox of another');
  nora.chat.close();
});

real('two with one name: the older draws another and goes on', async () => {
  const storage = memoryStorage();
  const first = person('paul', { storage });
  await first.open();
  const { client } = first.chat;
  const second = person('paul', { storage: copyOf(storage, 'paul') });
  await second.open();
  await first.until((heard) => heard.some(({ state }) => state?.code === 4409), 'replaced');
  await first.open();
  assert.equal(second.chat.client, client);
  assert.notEqual(first.chat.client, client);
  await second.chat.send({ receiver: 'paul', content: 'to my other device' });
  await first.until(() => first.contents().length === 1);
});

real('a guest keeps nothing and is somebody', async () => {
  const guest = person(undefined);
  await guest.open();
  assert.match(guest.chat.user, /^\d+$/);
  const quinn = person('quinn');
  await quinn.open();
  await quinn.chat.send({ receiver: guest.chat.user, content: 'hello stranger' });
  await guest.until(() => guest.contents().length);
});

real('the module that the server serves is this one', async () => {
  const answer = await fetch(`${server.origin}/switchboard.js`);
  assert.equal(answer.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal(await answer.text(), readFileSync(join(SOURCE, 'switchboard.js'), 'utf8'));
});

real('the example of the README runs from the package as it is packed', async () => {
  const project = join(MODULES, 'example');
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project, { recursive: true });
  const npm = (...args) => execFileSync('npm', args,
    { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}');
  const tarball = npm('pack', '--silent', '--ignore-scripts', SOURCE).trim();
  npm('install', '--offline', '--no-audit', '--no-fund', `./${tarball}`);
  const [, code] = /```js\n([^]*?)```/.exec(readFileSync(join(SOURCE, 'README.md'), 'utf8'));
  const here = code.replace('wss://chat.example.org/', server.webSocket);
  assert.notEqual(here, code);
  writeFileSync(join(project, 'example.mjs'), `${here}\nconsole.log('sent');\nchat.close();\n`);
  writeFileSync(join(project, 'socket.mjs'), `import { createRequire } from 'node:module';
globalThis.WebSocket ??= createRequire(${JSON.stringify(MODULES)})('ws');\n`);
  const alice = person('alice', { live: true });
  await alice.chat.join('team');
  const said = execFileSync('node', ['--import', './socket.mjs', 'example.mjs'],
    { cwd: project, encoding: 'utf8', timeout: 20_000 });
  assert.equal(said, 'open\nsent\nclosed\n');
  await alice.until(() => alice.contents().length === 2);
  assert.deepEqual(alice.contents(), ['hi', { lunch: '12:30' }]);
});

/** As another machine has it to which a profile was copied. */
function copyOf(storage, user) {
  const copy = memoryStorage();
  const prefix = `switchboard:${server.webSocket}:${user}:0`;
  for (const key of [prefix, `${prefix}:pos`]) {
    if (storage.getItem(key)) copy.setItem(key, storage.getItem(key));
  }
  return copy;
}
