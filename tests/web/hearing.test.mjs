// Hearing: order, position, acknowledgements, gaps, duplicates, handlers (R5).

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk } from './script.mjs';
import { settle } from './world.mjs';

const from = (seq, more = {}) => ({
  seq, sender: 'eve', receiver: 'bob', content: `m${seq}`, mid: `e:${seq}`, ...more,
});
const upTo = (last) => Array.from({ length: last }, (_, at) => from(at + 1));
const position = (desk) => {
  const [, text] = [...desk.device.map].find(([key]) => key.endsWith(':pos')) ?? [];
  return text && JSON.parse(text).slice(0, 2);
};

/** The next connection of the same page. */
async function again(desk, welcome) {
  await desk.socket.end();
  await desk.world.pass(30_000);
  await desk.socket.open();
  const [hello] = desk.socket.said();
  await desk.socket.welcome({ resumed: true, ...welcome });
  desk.socket.said();
  return hello;
}

test('messages come in order, each once, with their epoch', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say(from(1), from(3), from(3, { mid: 'e:9' }), from(2), from(4));
  assert.deepEqual(desk.took('message'),
    [from(1), from(3), from(4)].map((message) => ({ ...message, epoch: 'e1' })));
});

test('the position is stored when the handlers are done', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  const seen = [];
  chat.on('message', () => seen.push(position(desk)));
  await desk.socket.say(from(1), from(2));
  assert.deepEqual([...seen, position(desk)], [['e1', 0], ['e1', 1], ['e1', 2]]);
});

test('a handler that returns a promise is waited for, pings are answered meanwhile', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({ isDeaf: true });
  const said = [];
  let go;
  chat.on('message', ({ content }) => {
    said.push(content);
    return new Promise((resolve) => { go = resolve; });
  });
  await desk.world.pass(0);
  await desk.socket.welcome();
  desk.socket.said();
  await desk.socket.say(from(1), from(2), { type: 'ping', seq: 2 });
  assert.deepEqual([said, position(desk)], [['m1'], ['e1', 0]]);
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 0 }], 'what is processed so far');
  go();
  await settle();
  assert.deepEqual([said, position(desk)], [['m1', 'm2'], ['e1', 1]]);
});

/** A page whose handler waits until it is let go, and notes what it has begun with. */
async function slow(desk, options) {
  const chat = await desk.online({ isDeaf: true, ...options });
  const begun = [];
  const waits = [];
  chat.on('message', ({ content, epoch }) => {
    begun.push([epoch, content]);
    return new Promise((resolve) => { waits.push(resolve); });
  });
  await desk.world.pass(0);
  await desk.socket.welcome();
  desk.socket.said();
  const go = async () => {
    for (const resolve of waits.splice(0)) resolve();
    await settle();
  };
  return { chat, begun, go };
}

test('a new connection waits for no handler, and goes on behind what was received', async (t) => {
  const desk = new Desk(t);
  const { begun, go } = await slow(desk);
  await desk.socket.say(from(1), from(2), from(3));
  const hello = await again(desk, { seq: 3 });
  assert.deepEqual([hello.epoch, hello.seq, position(desk)], ['e1', 3, ['e1', 0]]);
  await desk.socket.say(from(4), { type: 'ping', seq: 4 });
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 0 }], 'nothing of it is processed');
  for (const at of [1, 2, 3, 4]) {
    assert.deepEqual([begun.at(-1), position(desk)], [['e1', `m${at}`], ['e1', at - 1]]);
    await go();
  }
  assert.deepEqual([begun.length, position(desk)], [4, ['e1', 4]]);
  await desk.socket.say({ type: 'ping', seq: 4 });
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 4 }]);
});

test('a handler that waits for a send is answered on the next connection', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({ isDeaf: true });
  const replied = [];
  chat.on('message', async ({ content }) => {
    await chat.send({ receiver: 'eve', content });
    replied.push(content);
  });
  await desk.world.pass(0);
  await desk.socket.welcome();
  await desk.socket.say(from(1), from(2));
  await again(desk, { seq: 2 });
  await desk.socket.say({ type: 'ok', id: 1 });
  await desk.socket.say({ type: 'ok', id: 2 });
  assert.deepEqual([replied, position(desk)], [['m1', 'm2'], ['e1', 2]]);
});

test('a reload while handlers are at work repeats what they have not done', async (t) => {
  const desk = new Desk(t);
  const { go } = await slow(desk);
  await desk.socket.say(from(1), from(2), from(3));
  await go();
  await again(desk, { seq: 3 });
  desk.page = desk.page.reload();
  await desk.start();
  await desk.socket.open();
  assert.equal(desk.socket.said()[0].seq, 1);
});

test('what waits from before a new epoch comes first, and acknowledges none of it', async (t) => {
  const desk = new Desk(t);
  const { begun, go } = await slow(desk);
  await desk.socket.say(from(50), from(51));
  const gap = { after: 51, until: 3, reason: 'epoch' };
  await again(desk, { epoch: 'e2', seq: 3, resumed: false, gap });
  await desk.socket.say(from(4, { mid: 'e:51' }), from(5));
  await again(desk, { epoch: 'e2', seq: 5 });
  await desk.socket.say(from(6));
  await go();
  await desk.socket.say({ type: 'ping', seq: 6 });
  assert.deepEqual([desk.socket.said(), position(desk), desk.took('gap')],
    [[{ type: 'ack', seq: 0 }], ['e1', 50], []], 'that of another epoch is none of this one');
  await go();
  assert.deepEqual(desk.took('gap'), [gap]);
  await go();
  await go();
  assert.deepEqual(begun, [['e1', 'm50'], ['e1', 'm51'], ['e2', 'm5'], ['e2', 'm6']],
    'and what comes again is recognised');
  assert.deepEqual(position(desk), ['e2', 6]);
});

test('replaced, or closed, while handlers are at work', async (t) => {
  const desk = new Desk(t);
  const { chat, begun, go } = await slow(desk);
  await desk.socket.say(from(1), from(2));
  const { client } = chat;
  await desk.socket.end(4409);
  await desk.world.pass(1_000);
  await desk.socket.open();
  const [hello] = desk.socket.said();
  assert.notEqual(hello.client, client);
  assert.equal(hello.seq, 2);
  await desk.socket.welcome({ seq: 2 });
  chat.close();
  await go();
  assert.deepEqual([begun.length, position(desk), desk.device.holders.size], [1, ['e1', 1], 0],
    'what had not begun does not begin any more, and comes to the next');
});

test('a handler that fails breaks nothing', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  chat.on('message', () => { throw new Error('first'); });
  chat.on('message', async () => { throw new Error('second'); });
  chat.on('error', () => { throw new Error('third'); });
  const printed = [];
  const { error } = console;
  console.error = (what) => printed.push(what.message);
  t.after(() => { console.error = error; });
  await desk.socket.say(from(1), from(2));
  assert.deepEqual(desk.contents(), ['m1', 'm2']);
  assert.deepEqual(desk.took('error').map(({ message }) => message),
    ['first', 'second', 'first', 'second']);
  assert.deepEqual(printed, ['third', 'third', 'third', 'third']);
});

test('acknowledged: after 32 messages, or 250 ms, or a ping', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say(...upTo(31));
  assert.deepEqual(desk.socket.said(), []);
  await desk.socket.say(from(32));
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 32 }]);
  await desk.socket.say(from(40));
  await desk.world.pass(249);
  assert.deepEqual(desk.socket.said(), []);
  await desk.world.pass(1);
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 40 }]);
  await desk.socket.say(from(41), { type: 'ping', seq: 41 });
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 41 }]);
  await desk.world.pass(1000);
  assert.deepEqual(desk.socket.said(), [], 'and not once more');
});

test('a new connection goes on from the position, also after a reload', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say(from(7));
  assert.deepEqual((({ epoch, seq }) => [epoch, seq])(await again(desk, { seq: 7 })), ['e1', 7]);
  await desk.socket.say(from(7), from(8));
  assert.deepEqual(desk.contents(), ['m7', 'm8']);
  desk.page = desk.page.reload();
  await desk.start();
  await desk.socket.open();
  const [hello] = desk.socket.said();
  assert.deepEqual([hello.epoch, hello.seq], ['e1', 8]);
});

test('a welcome replaces the position, even by a lower one, and announces its gap', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say(from(50));
  const gap = { after: 50, until: 3, reason: 'epoch' };
  await again(desk, { epoch: 'e2', seq: 3, resumed: false, gap });
  assert.deepEqual(desk.took('gap'), [gap]);
  assert.deepEqual(position(desk), ['e2', 3]);
  await desk.socket.say(from(4, { mid: 'e:104' }));
  assert.deepEqual(desk.contents(), ['m50', 'm4']);
});

test('a gap sets the position, in its place among the messages', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  const gap = { type: 'gap', after: 1, until: 90, reason: 'overflow' };
  await desk.socket.say(from(1), gap, from(90), from(91), { type: 'gap', dropped: 12 });
  assert.deepEqual(desk.events.filter(([type]) => type !== 'state')
    .map(([type, { content, until, dropped }]) => content ?? until ?? dropped),
  ['m1', 90, 'm91', 12]);
  assert.deepEqual(position(desk), ['e1', 91]);
});

test('what comes again in another epoch is recognised, also after a reload', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say(from(1), from(2, { sender: 'mallory', mid: 'e:1' }));
  assert.equal(desk.contents().length, 2, 'mid counts together with the sender');
  await again(desk, { epoch: 'e2' });
  await desk.socket.say(from(1), from(2, { mid: 'e:2' }));
  assert.deepEqual(desk.contents(), ['m2']);
  assert.deepEqual(position(desk), ['e2', 2], 'the position goes on all the same');
  desk.page = desk.page.reload();
  await desk.start();
  await desk.socket.welcome({ epoch: 'e3' });
  await desk.socket.say(from(1, { mid: 'e:2' }), from(2, { mid: 'e:3', content: 'new' }));
  assert.deepEqual(desk.contents(), ['new']);
});

test('what is remembered of messages is bounded', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say(...upTo(1030));
  desk.contents();
  await again(desk, { epoch: 'e2' });
  await desk.socket.say(from(1), from(2, { mid: 'e:500' }));
  assert.deepEqual(desk.contents(), ['m1'], '1,024 are');
  const [, text] = [...desk.device.map].find(([key]) => key.endsWith(':pos'));
  assert.equal(JSON.parse(text)[2].length, 64);
});

test('messages without seq move nothing and are acknowledged by nothing', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say({ sender: 'eve', receiver: 'bob', content: 'now', mid: 'e:1' });
  await desk.world.pass(1000);
  assert.deepEqual([desk.contents(), position(desk), desk.socket.said()],
    [['now'], ['e1', 0], []]);
});

test('guests have no position', async (t) => {
  const desk = new Desk(t);
  await desk.online({ user: undefined }, { user: '7', epoch: undefined, seq: undefined });
  await desk.socket.say({ sender: 'eve', receiver: '7', content: null }, { type: 'ping' });
  assert.deepEqual(desk.contents(), [null]);
  assert.deepEqual(desk.socket.said(), [{ type: 'ack', seq: 0 }]);
  assert.equal(desk.chat.user, '7');
  assert.equal(desk.device.map.size, 0, 'and keep nothing');
});

test('who does not listen hears nothing, acknowledges nothing, and may listen later', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start({ isDeaf: true });
  await desk.socket.open();
  assert.equal('seq' in desk.socket.said()[0], false);
  await desk.socket.welcome({ seq: 5 });
  await desk.socket.say(from(6), { type: 'ping', seq: 6 });
  assert.deepEqual(desk.socket.said().at(-1), { type: 'ack', seq: 0 });
  const heard = [];
  const off = chat.on('message', ({ content }) => heard.push(content));
  await desk.world.pass(0);
  await desk.socket.open();
  assert.equal(desk.socket.said()[0].seq, 0, 'from where nobody has listened yet');
  await desk.socket.welcome();
  await desk.socket.say(from(6));
  off();
  await desk.socket.say(from(7));
  assert.deepEqual([heard, position(desk)], [['m6'], ['e1', 6]]);
  chat.on('message', ({ content }) => heard.push(content));
  assert.deepEqual(heard, ['m6', 'm7'], 'nothing is lost in between');
});

test('with live, the first connection begins now', async (t) => {
  const desk = new Desk(t);
  await desk.start({ live: true });
  await desk.socket.open();
  assert.equal('seq' in desk.socket.said()[0], false);
  await desk.socket.welcome({ seq: 41 });
  assert.equal((await again(desk)).seq, 41);
});

test('handlers that do not keep up cost a new connection, not memory', async (t) => {
  const desk = new Desk(t);
  const { chat, begun, go } = await slow(desk);
  await desk.socket.say(...upTo(4100)); // one is at work, 4,096 wait
  chat.send({ receiver: 'eve', content: 'sent all the same' });
  await desk.socket.say({ type: 'ok', id: 1 });
  for (let n = 1; n < 4097; n += 1) await go();
  assert.equal(chat.pending.length, 0);
  assert.equal(desk.sockets.length, 3, 'when all are worked off, and one is at work');
  await desk.socket.open();
  assert.equal(desk.socket.said()[0].seq, 4097, 'where it stopped to listen');
  await desk.socket.welcome({ seq: 4097 });
  await desk.socket.say(from(4098));
  await go();
  assert.deepEqual([begun.length, begun.at(-1)], [4098, ['e1', 'm4098']]);
});

test('receipts and presence are told', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  const receipt = { type: 'receipt', mid: 'c:1', user: 'alice' };
  const presence = { type: 'presence', group: 'room1', joined: ['eve'], left: [] };
  await desk.socket.say(receipt, presence, { type: 'news' });
  assert.deepEqual([desk.took('receipt'), desk.took('presence')], [[receipt], [presence]]);
});

test('storage that fails costs no message, and is told', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  desk.page.isFull = true;
  await desk.socket.say(from(1));
  assert.deepEqual(desk.contents(), ['m1']);
  assert.deepEqual(desk.took('error').map(({ reason }) => reason), ['storage']);
});
