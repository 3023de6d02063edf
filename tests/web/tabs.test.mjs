// Tabs: who holds which client id, what happens to what a tab leaves behind, and takeover.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertError, Desk, outcome } from './script.mjs';
import { Page, settle } from './world.mjs';

const message = (content) => ({ receiver: 'alice', content });

/** A page beside the one that the desk has; the desk's next socket is its. */
async function open(desk, page, options) {
  desk.page = page;
  const chat = await desk.start(options);
  await desk.world.pass(1_000);
  return chat;
}

test('a duplicated tab has a name and an outbox of its own', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  const socket = desk.socket;
  const promise = first.send(message('from the first'));
  const second = await open(desk, desk.page.duplicate());
  await desk.socket.welcome();
  assert.notEqual(second.client, first.client);
  assert.deepEqual(second.pending, []);
  assert.equal(desk.socket.said()[0].seq, 0);
  second.send(message('from the second'));
  assert.deepEqual(desk.socket.said().map(({ id, content }) => [id, content]),
    [[1, 'from the second']]);
  await socket.say({ type: 'ok', id: 1 });
  assert.ok((await outcome(promise)).result);
});

test('after a reload a tab finds its own slot again, though another is free', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  const second = await open(desk, new Page(desk.device));
  await desk.socket.welcome({ seq: 7 });
  const page = desk.page;
  first.close();
  await desk.world.pass(60_000);
  const again = await open(desk, page.reload());
  assert.equal(again.client, second.client);
  await desk.socket.open();
  assert.equal(desk.socket.said()[0].seq, 7);
});

test('a reload waits for the page before to let go', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  const page = desk.page;
  desk.page = page.duplicate(); // the new page, while the old one is still there
  const starting = desk.start();
  await settle();
  page.die();
  await starting;
  assert.equal(desk.chat.client, first.client);
  assert.equal(desk.sockets.length, 2);
});

test('however late the browser grants it, a tab holds one lock, that of slot 0', async (t) => {
  const desk = new Desk(t);
  desk.device.lockMs = 3;
  await open(desk, desk.page);
  assert.deepEqual([...desk.device.holders.keys()],
    ['switchboard:wss://chat.example:bob:0']);
  await open(desk, new Page(desk.device));
  assert.equal(desk.device.holders.size, 2);
});

test('a lock that was waited for in vain is not taken later', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  const second = await open(desk, desk.page.duplicate());
  assert.notEqual(second.client, first.client);
  first.close();
  await settle();
  assert.deepEqual([...desk.device.holders.keys()], ['switchboard:wss://chat.example:bob:1']);
});

test('what is left is found behind slots that have nothing in storage', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  first.send(message('left'));
  desk.page.die();
  for (const [key, text] of [...desk.device.map]) {
    desk.device.map.delete(key);
    desk.device.map.set(key.replace(':bob:0', ':bob:6'), text);
  }
  await open(desk, new Page(desk.device));
  await desk.socket.welcome();
  await desk.world.pass(27_000);
  await desk.socket.say({ type: 'ping', seq: 0 });
  await desk.world.pass(5_000);
  await desk.socket.open();
  assert.notEqual(desk.chat.client, first.client);
  assert.equal(desk.socket.said()[0].client, first.client);
});

test('a new tab takes what was left long ago, and nothing that may come back', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  desk.page.die();
  const second = await open(desk, new Page(desk.device));
  assert.notEqual(second.client, first.client, 'that tab may be reloading');
  second.close();
  await desk.world.pass(60_000);
  const third = await open(desk, new Page(desk.device));
  assert.equal(third.client, first.client);
});

test('what a closed tab had not sent is sent by another, under its name and number', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  first.send({ ...message('a'), ref: 1 });
  first.send({ ...message('b'), ref: 2 });
  await desk.socket.say({ type: 'ok', id: 1 });
  const { client } = first;
  desk.page.die();
  await open(desk, new Page(desk.device));
  await desk.socket.welcome();
  desk.took('settled');
  await desk.world.pass(27_000);
  await desk.socket.say({ type: 'ping', seq: 0 });
  assert.equal(desk.sockets.length, 2, 'not while it may be reloading');
  await desk.world.pass(5_000);
  assert.equal(desk.sockets.length, 3);
  await desk.socket.welcome({ last: 1 });
  assert.deepEqual(desk.socket.said(), [
    { type: 'hello', client, attempt: 2, next: 2, user: 'bob' },
    { id: 2, receiver: 'alice', content: 'b' },
  ], 'and it hears nothing meant for its tab');
  await desk.socket.say({ seq: 9, sender: 'eve', content: 1 }, { type: 'ping', seq: 9 });
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 0 }], 'nor acknowledges it');
  await desk.socket.say({ type: 'ok', id: 2 });
  assert.equal(desk.socket.isClosed, true);
  assert.deepEqual(desk.took('settled').map(({ message: { ref } }) => ref), [2]);
  assert.deepEqual(desk.took('message'), []);
  assert.equal(desk.device.holders.size, 1);
});

test('what is left is adopted once, however many tabs there are', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  first.send(message('a'));
  desk.page.die();
  for (const _ of [1, 2, 3]) {
    await open(desk, new Page(desk.device));
    await desk.socket.welcome();
  }
  await desk.world.pass(30_500);
  assert.equal(desk.sockets.length, 5);
});

test('closing a tab ends what it does for others', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online();
  first.send(message('a'));
  desk.page.die();
  desk.world.timers.clear(); // they die with the page
  const second = await open(desk, new Page(desk.device));
  await desk.socket.welcome();
  await desk.world.pass(30_500);
  assert.equal(desk.sockets.length, 3);
  second.close();
  await settle();
  assert.deepEqual([desk.device.holders.size, desk.world.timers.size], [0, 0]);
});

test('replaced: a new name, unsent goes on, sent is uncertain, joins are repeated', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({}, { limits: { inflight: 2, message: 1000 } });
  const { client } = chat;
  const promises = [chat.send({ ...message('sent'), ref: 1 }), chat.join('g'),
    chat.send(message('unsent'))];
  await desk.socket.end(4409);
  assertError(await outcome(promises[0]), 'replaced', { code: 409, uncertain: true, ref: 1 });
  await desk.world.pass(1_000);
  await desk.socket.welcome();
  const [hello, ...sent] = desk.socket.said();
  assert.notEqual(hello.client, client);
  assert.deepEqual([hello.client, hello.next, hello.attempt], [chat.client, 1, 1]);
  assert.deepEqual(sent, [
    { id: 1, type: 'join', group: 'g' }, { id: 2, receiver: 'alice', content: 'unsent' },
  ]);
  await desk.socket.say({ type: 'ok', id: 1 }, { type: 'ok', id: 2 });
  assert.equal((await outcome(promises[2])).result.mid, `${chat.client}:2`);
});

test('a crash while the name changes sends nothing twice', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({}, { limits: { inflight: 1, message: 1000 } });
  chat.send({ ...message('sent'), ref: 1 });
  chat.send(message('unsent'));
  Object.assign(desk.page, { crashIn: 1, isCrashLate: true });
  await desk.socket.end(4409);
  assert.equal(desk.page.isDead, true);
  desk.took('settled');
  desk.page = desk.page.reload();
  await desk.start();
  await desk.socket.welcome();
  const fates = desk.took('settled').map(({ message: { ref }, error }) => [ref, error.uncertain]);
  assert.deepEqual(fates, [[1, true]]);
  assert.deepEqual(desk.socket.said().slice(1).map(({ id, content }) => [id, content]),
    [[1, 'unsent']]);
});

test('without locks there is one slot, and storage is all that is needed', async (t) => {
  const desk = new Desk(t);
  desk.page.locks = null;
  const first = await desk.online();
  first.send(message('a'));
  desk.page = desk.page.reload();
  desk.page.locks = null;
  const second = await desk.start();
  assert.equal(second.client, first.client);
  assert.equal(second.pending.length, 1);
});

test('a name of one\'s own is for who gets it first', async (t) => {
  const desk = new Desk(t);
  const first = await desk.online({ client: 'kiosk' });
  const second = await open(desk, new Page(desk.device), { client: 'kiosk' });
  assert.equal(first.client, 'kiosk');
  assert.notEqual(second.client, 'kiosk');
  assert.equal(desk.sockets.length, 2);
});

test('users and servers have each their own', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  chat.send(message('a'));
  for (const user of ['bob:0', 'alice', 'b/ob']) {
    await open(desk, new Page(desk.device), { user });
    assert.deepEqual(desk.chat.pending, []);
  }
  const users = [...desk.device.map.keys()].map((key) => key.split(':').slice(0, 4).join(':'));
  assert.deepEqual([...new Set(users)].sort(), ['alice', 'b%2Fob', 'bob', 'bob%3A0']
    .map((user) => `switchboard:wss://chat.example:${user}`));
});
