// Sending: numbers, the outbox, answers, refusals for now and for good (R1, R3, R4).

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertError, Desk, outcome } from './script.mjs';

const message = (content) => ({ receiver: 'alice', content });

test('a message gets its number when it is first sent, after the welcome', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start();
  const promise = chat.send(message('hi'));
  await desk.socket.open();
  assert.deepEqual(desk.socket.said(), [{
    type: 'hello', client: chat.client, attempt: 1, next: 1, user: 'bob', seq: 0,
  }]);
  await desk.socket.welcome({ last: 16 });
  const [, sent] = desk.socket.said();
  assert.deepEqual(sent, { id: 17, receiver: 'alice', content: 'hi' }, 'from last + 1 on');
  await desk.socket.say({ type: 'ok', id: 17, online: 2 });
  assert.deepEqual((await outcome(promise)).result,
    { online: 2, mid: `${chat.client}:17`, ref: undefined });
});

test('options go along, and nothing else', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  chat.send({
    group: 'room1', content: { n: 1 }, echo: true, ttl: 0, receipt: true, ref: 'mine', id: 9, x: 1,
  });
  chat.join('room1', { presence: true });
  chat.leave('room1');
  assert.deepEqual(desk.socket.said(), [
    { id: 1, group: 'room1', content: { n: 1 }, echo: true, ttl: 0, receipt: true },
    { id: 2, type: 'join', group: 'room1', presence: true },
    { id: 3, type: 'leave', group: 'room1' },
  ]);
});

test('64 are unanswered at most, and order is kept', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  for (let n = 1; n <= 100; n += 1) chat.send(message(n));
  assert.deepEqual(desk.socket.said().map(({ id, content }) => [id, content]),
    Array.from({ length: 64 }, (_, at) => [at + 1, at + 1]));
  await desk.socket.say({ type: 'ok', id: 1 }, { type: 'ok', id: 2 });
  assert.deepEqual(desk.socket.said().map(({ id }) => id), [65, 66]);
});

test('a refusal for good rejects, with code and reason', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  const promise = chat.send({ ...message('hi'), ref: 7 });
  await desk.socket.say({ type: 'error', id: 1, code: 404, reason: 'receiver_offline' });
  assertError(await outcome(promise), 'receiver_offline', { code: 404, uncertain: false, ref: 7 });
  assert.deepEqual(desk.took('settled').map(({ message: { ref } }) => ref), [7]);
  assert.equal(desk.device.map.has(`${slotOf(desk)}:1`), false, 'and is gone from storage');
});

test('a refusal for now: it goes back once, to the expected one, after that time', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  for (const n of [1, 2, 3]) chat.send(message(n));
  desk.socket.said();
  await desk.socket.say({ type: 'ok', id: 1 });
  await desk.socket.say({
    type: 'error', id: 2, code: 429, reason: 'rate', retry: true, expect: 2, after: 500,
  });
  chat.send(message(4));
  await desk.world.pass(499);
  assert.deepEqual(desk.socket.said(), []);
  await desk.world.pass(1);
  assert.deepEqual(desk.socket.said().map(({ id, content }) => [id, content]),
    [[2, 2]], 'that one alone');
  await desk.socket.say({ type: 'ok', id: 2 });
  assert.deepEqual(desk.socket.said().map(({ id, content }) => [id, content]), [[3, 3], [4, 4]]);
});

test('after a refusal for now the window opens again, doubled by each answer', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  for (let n = 1; n <= 100; n += 1) chat.send(message(n));
  desk.socket.said();
  const busy = (id) => desk.socket.say({
    type: 'error', id, code: 503, reason: 'store', retry: true, expect: id, after: 50,
  });
  const ids = () => desk.socket.said().map(({ id }) => id);
  await busy(1);
  await desk.world.pass(50);
  assert.deepEqual(ids(), [1]);
  await desk.socket.say({ type: 'ok', id: 1 });
  assert.deepEqual(ids(), [2, 3]);
  await desk.socket.say({ type: 'error', id: 2, code: 403, reason: 'forbidden' });
  assert.deepEqual(ids(), [4, 5, 6], 'a refusal for good is an answer too');
  await busy(3);
  await desk.socket.say({ type: 'ping', seq: 0 });
  await desk.world.pass(50);
  assert.deepEqual(ids().filter(Boolean), [3]);
  for (let id = 3; id <= 10; id += 1) await desk.socket.say({ type: 'ok', id });
  assert.deepEqual(ids(), Array.from({ length: 71 }, (_, at) => at + 4), 'to 64 and not more');
  await desk.socket.end();
  await desk.world.pass(1_000);
  await desk.socket.welcome({ last: 10, resumed: true });
  assert.equal(ids().length, 1 + 64, 'a new connection begins with all of it');
});

test('sixty messages to a server that takes one each 50 ms cost a few frames each, not 30',
  async (t) => {
    const desk = new Desk(t);
    const chat = await desk.online();
    const sent = Array.from({ length: 60 }, (_, n) => chat.send(message(n)));
    let frames = 0;
    let last = 0;
    let expect = 0;
    let free = desk.world.now;
    while (last < 60) {
      const said = desk.socket.said();
      frames += said.length;
      for (const { id } of said) {
        if (expect && id !== expect) continue; // R4
        expect = 0;
        const { now } = desk.world;
        if (now >= free) {
          free = now + 50;
          last = id;
          await desk.socket.say({ type: 'ok', id });
        } else {
          expect = id;
          await desk.socket.say({
            type: 'error', id, code: 429, reason: 'rate', retry: true, expect, after: free - now,
          });
        }
      }
      if (!said.length) await desk.world.pass(1);
    }
    for (const promise of sent) assert.ok((await outcome(promise)).result);
    t.diagnostic(`${frames} frames`);
    assert.ok(frames < 60 * 4, `${frames}`);
  });

test('the welcome settles the outbox before anything is sent again', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  const promises = [1, 2, 3].map((n) => chat.send(message(n)));
  desk.socket.said();
  await desk.socket.end();
  await desk.world.pass(1000);
  await desk.socket.welcome({ last: 2, refused: [1], resumed: true });
  const [hello, ...again] = desk.socket.said();
  assert.equal(hello.next, 1);
  assert.deepEqual(again, [{ id: 3, receiver: 'alice', content: 3 }], 'under the same id');
  assertError(await outcome(promises[0]), 'refused', { code: 410 });
  assert.equal((await outcome(promises[1])).result.dup, true);
  assert.equal(await outcome(promises[2]), undefined);
});

test('what the server has forgotten is sent again under its ids', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({}, { last: 4 });
  chat.send(message('a'));
  desk.socket.said();
  await desk.socket.end();
  await desk.world.pass(1000);
  await desk.socket.welcome({ last: null, epoch: 'e2' });
  const [hello, again] = desk.socket.said();
  assert.equal(hello.next, 5);
  assert.deepEqual(again, { id: 5, receiver: 'alice', content: 'a' });
});

test('a reload loses nothing of the outbox and keeps the numbers', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({}, { last: 4 });
  for (const n of [1, 2, 3]) chat.send({ ...message(n), ref: n });
  await desk.socket.say({ type: 'ok', id: 5 });
  desk.page = desk.page.reload();
  const next = await desk.start();
  next.send(message(4));
  assert.deepEqual(next.pending.map(({ ref }) => ref), [2, 3, undefined]);
  await desk.socket.welcome({ last: 6, resumed: true });
  const [hello, ...sent] = desk.socket.said();
  assert.deepEqual([hello.client, hello.next, hello.attempt], [chat.client, 6, 2]);
  assert.deepEqual(sent.map(({ id, content }) => [id, content]), [[7, 3], [8, 4]]);
  assert.deepEqual(desk.took('settled').map(({ message: { ref } }) => ref), [1, 2],
    'also the page after it hears how they fared');
});

test('the numbers go on after everything is settled and the page reloaded', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  chat.send(message(1));
  await desk.socket.say({ type: 'ok', id: 1 });
  desk.page = desk.page.reload();
  await desk.start();
  desk.chat.send(message(2));
  await desk.socket.welcome({ last: null, epoch: 'e2' });
  const [hello, sent] = desk.socket.said();
  assert.deepEqual([hello.next, sent.id], [2, 2]);
});

test('an id is in storage before the frame is sent', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  let stored;
  desk.socket.send = () => { stored = desk.device.map.get(`${slotOf(desk)}:1`); };
  chat.send(message('hi'));
  assert.equal(stored, `${`${chat.client}:1`.padEnd(33)}{"receiver":"alice","content":"hi"}`);
});

test('full storage is an error of send, and nothing is sent', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  desk.page.isFull = true;
  const end = await outcome(chat.send(message('hi')));
  assertError(end, 'storage', { kept: false });
  assert.match(end.error.cause.message, /Quota/);
  assert.deepEqual(desk.socket.said(), []);
  desk.page.isFull = false;
  chat.send(message('again'));
  assert.deepEqual(desk.socket.said().map(({ id }) => id), [1]);
});

test('storage that fails between send and number is an error of that message', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start();
  const promise = chat.send(message('hi'));
  desk.page.isFull = true;
  await desk.socket.welcome();
  assertError(await outcome(promise), 'storage');
  desk.page.isFull = false;
  chat.send(message('next'));
  assert.deepEqual(desk.socket.said().slice(1).map(({ id, content }) => [id, content]),
    [[1, 'next']], 'its number is free');
});

test('storage that is denied is an error of send', async (t) => {
  const desk = new Desk(t);
  const fail = () => { throw new Error('SecurityError'); };
  const chat = await desk.online({ storage: { getItem: fail, setItem: fail, removeItem: fail } });
  assertError(await outcome(chat.send(message('hi'))), 'storage');
  assert.ok(desk.took('error').length > 0);
});

test('a message that is too large is refused before it is numbered', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start();
  const early = [chat.send(message('é'.repeat(500))), chat.send(message('b'))];
  await desk.socket.welcome();
  assertError(await outcome(early[0]), 'message_too_large', { code: 413, max: 1000 });
  assert.deepEqual(desk.socket.said().slice(1).map(({ id, content }) => [id, content]), [[1, 'b']]);
  // `{"id":9007199254740991,"receiver":"alice","content":""}` are 55 bytes.
  assertError(await outcome(chat.send(message('x'.repeat(1000 - 54)))), 'message_too_large');
  chat.send(message('x'.repeat(1000 - 55)));
  assert.deepEqual(desk.socket.said().map(({ id }) => id), [2]);
  desk.page = desk.page.reload();
  await desk.start();
  assert.equal(desk.chat.pending.length, 2, 'the hole it left is none');
});

test('10,000 wait at most', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start();
  for (let n = 0; n < 10_000; n += 1) chat.send(message(n));
  assertError(await outcome(chat.send(message('more'))), 'outbox_full', { code: 429 });
});

test('what cannot be sent is told at once', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  for (const content of [undefined, () => {}, 1n]) {
    assert.ok((await outcome(chat.send(message(content)))).error instanceof TypeError);
  }
  assert.ok((await outcome(chat.send())).error instanceof TypeError);
  assert.deepEqual(desk.socket.said(), []);
});

test('closing rejects what is not settled, and keeps it for the next time', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  const promise = chat.send(message('hi'));
  chat.close();
  assertError(await outcome(promise), 'closed', { kept: true, uncertain: false });
  assertError(await outcome(chat.send(message('hi'))), 'closed', { kept: false });
  await desk.start();
  await desk.socket.welcome({ last: 0 });
  assert.deepEqual(desk.socket.said()[1], { id: 1, receiver: 'alice', content: 'hi' });
});

test('in memory nothing is kept, and what was sent is uncertain', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({ storage: undefined, locks: undefined, client: 'worker' });
  assert.match(chat.client, /^worker-c[0-9a-z]+$/, 'its numbers end with it, so its name does too');
  const promise = chat.send(message('hi'));
  chat.close();
  assertError(await outcome(promise), 'closed', { kept: false, uncertain: true });
});

test('a failed send that nobody waits for harms nobody', async (t) => {
  const desk = new Desk(t);
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const chat = await desk.online();
  chat.send(message('a'));
  chat.send(message(undefined));
  await desk.socket.say({ type: 'error', id: 1, code: 404, reason: 'receiver_offline' });
  assert.deepEqual(unhandled, []);
});

const slotOf = (desk) => [...desk.device.map.keys()].find((key) => key.endsWith(':0'));
