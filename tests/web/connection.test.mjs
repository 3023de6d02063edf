// The connection: when it is tried again, when it is not, and how a dead one is found out.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertError, Desk, outcome } from './script.mjs';
import { settle } from './world.mjs';

const states = (desk) => desk.took('state').map(({ state }) => state);

test('the address carries the user, the offer the dialect, the hello the token', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start({ user: 'bob & co', token: async () => 'secret' });
  assert.equal(desk.socket.url, 'wss://chat.example/?user=bob+%26+co');
  assert.deepEqual(desk.socket.protocols, ['switchboard.v1']);
  await desk.socket.welcome({ user: 'bob & co' });
  assert.equal(desk.socket.said()[0].token, 'secret');
  assert.deepEqual([chat.state, chat.user], ['open', 'bob & co']);
});

test('what cannot work is said at once', async (t) => {
  const desk = new Desk(t);
  const { connect } = await import('../../src/web/switchboard.js');
  assert.throws(() => connect('/path', { WebSocket: desk.WebSocket }), TypeError);
  const { WebSocket } = globalThis;
  delete globalThis.WebSocket;
  t.after(() => { globalThis.WebSocket = WebSocket; });
  assert.throws(() => connect('ws://localhost'), /give one as/);
});

test('backoff has full jitter, doubles, and is 30 s at most', async (t) => {
  const desk = new Desk(t);
  await desk.start();
  const most = [];
  desk.world.random = () => 0.999_999;
  for (let n = 0; n < 9; n += 1) {
    await desk.socket.end();
    const { after } = desk.took('state').find(({ state }) => state === 'waiting');
    most.push(Math.round(after));
    await desk.world.pass(after);
  }
  assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  desk.world.random = () => 0.5;
  await desk.socket.end();
  assert.equal(Math.round(desk.took('state').at(-1).after), 15_000);
});

test('backoff begins again after a connection that lasted', async (t) => {
  const desk = new Desk(t);
  await desk.start();
  desk.world.random = () => 0.999_999;
  const after = async () => {
    await desk.socket.end();
    const [{ after: ms }] = desk.took('state').filter(({ state }) => state === 'waiting');
    await desk.world.pass(ms);
    return Math.round(ms);
  };
  await after();
  await desk.socket.welcome();
  assert.equal(await after(), 1000, 'one that ended at once is no success');
  await desk.socket.welcome();
  await desk.world.pass(1_001);
  assert.equal(await after(), 500);
});

for (const code of [1000, 1001, 1006, 1011, 1012, 1013, 4408, 4429, 4500, 4503]) {
  test(`after ${code} it comes back`, async (t) => {
    const desk = new Desk(t);
    await desk.online();
    await desk.socket.end(code, 'why');
    assert.deepEqual(desk.took('state').at(-1).code, code);
    await desk.world.pass(1000);
    assert.equal(desk.sockets.length, 2);
  });
}

for (const code of [4400, 4401, 4403, 4404, 4413]) {
  test(`after ${code} it does not come back`, async (t) => {
    const desk = new Desk(t);
    const chat = await desk.online({ token: 'fixed' });
    const promise = chat.send({ receiver: 'alice', content: 1 });
    await desk.socket.end(code, 'why');
    assert.deepEqual(desk.took('state').at(-1), { state: 'refused', code, reason: 'why' });
    assertError(await outcome(promise), 'refused', { code, kept: true });
    await desk.world.pass(3_600_000);
    assert.equal(desk.sockets.length, 1);
    assert.equal(desk.world.timers.size, 0, 'nothing runs on');
    assert.equal(desk.world.events.size, 0);
    assert.equal(desk.device.holders.size, 0, 'and whoever comes next may have the outbox');
  });
}

test('after 4401 the token is asked for once more, and again after a welcome', async (t) => {
  const desk = new Desk(t);
  let asked = 0;
  await desk.start({ token: () => { asked += 1; return `t${asked}`; } });
  await desk.socket.end(4401);
  await desk.world.pass(1000);
  await desk.socket.welcome();
  assert.equal(desk.socket.said()[0].token, 't2');
  await desk.socket.end(1006);
  await desk.world.pass(1000);
  assert.equal(asked, 2, 'a token that was good is used again');
  await desk.socket.welcome();
  await desk.socket.end(4401);
  await desk.world.pass(2000);
  await desk.socket.open();
  assert.equal(desk.socket.said()[0].token, 't3');
  await desk.socket.end(4401);
  assert.equal(desk.chat.state, 'refused');
});

test('a token that cannot be had now is asked for later', async (t) => {
  const desk = new Desk(t);
  let fails = 2;
  await desk.start({ token: async () => {
    fails -= 1;
    if (fails >= 0) throw new Error('no network');
    return 'good';
  } });
  await desk.world.pass(5_000);
  assert.equal(desk.took('error').length, 2);
  await desk.socket.open();
  assert.equal(desk.socket.said()[0].token, 'good');
});

test('a server that restarts says when to come back', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say({ type: 'drain', after: 4200 });
  await desk.socket.end(1012);
  await desk.world.happen('online');
  await desk.world.pass(4199);
  assert.equal(desk.sockets.length, 1, 'not before, whatever the window says');
  await desk.world.pass(1);
  assert.equal(desk.sockets.length, 2);
});

test('a connection that is not welcome in 20 s is given up', async (t) => {
  const desk = new Desk(t);
  await desk.start();
  await desk.socket.open();
  await desk.world.pass(20_000);
  assert.equal(desk.sockets[0].isClosed, true);
  await desk.world.pass(500);
  assert.equal(desk.sockets.length, 2);
});

test('when the pings stop it asks, and gives up what does not answer', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.world.pass(34_999);
  await desk.socket.say({ type: 'ping', seq: 0 });
  desk.socket.said();
  await desk.world.pass(35_000);
  const [ping] = desk.socket.said();
  assert.deepEqual(ping, { id: 1, type: 'ping' });
  await desk.world.pass(4_999);
  assert.equal(desk.socket.isClosed, false);
  await desk.world.pass(1);
  assert.equal(desk.sockets[0].isClosed, true);
  await desk.world.pass(500);
  assert.equal(desk.sockets.length, 2);
});

test('one that answers is kept', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.world.pass(35_000);
  await desk.socket.say({ type: 'ok', id: 1 });
  await desk.world.pass(30_000);
  assert.equal(desk.socket.isClosed, false);
  assert.deepEqual(desk.took('settled'), [], 'and nobody is told of it');
});

for (const type of ['visibilitychange', 'pageshow', 'resume', 'online', 'offline']) {
  test(`a page that wakes by ${type} looks at its connection at once`, async (t) => {
    const desk = new Desk(t);
    await desk.online();
    await desk.world.happen(type);
    await desk.world.happen(type);
    assert.deepEqual(desk.socket.said(), [{ id: 1, type: 'ping' }], 'asked once');
    await desk.world.pass(5_000);
    assert.equal(desk.socket.isClosed, true);
  });
}

test('a page that wakes while it waits connects at once, unless it went offline', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.end();
  await desk.world.happen('offline');
  assert.equal(desk.sockets.length, 1);
  await desk.world.happen('online');
  assert.equal(desk.sockets.length, 2);
  await desk.socket.end(4503);
  await desk.world.happen('online');
  assert.equal(desk.sockets.length, 2, 'what a server asked for is not hurried');
});

test('groups are joined once, and again when the server has forgotten them', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.start({ groups: ['a'] });
  await desk.socket.welcome();
  assert.deepEqual(desk.socket.said().slice(1), [{ id: 1, type: 'join', group: 'a' }]);
  await desk.socket.say({ type: 'ok', id: 1 });
  const joined = chat.join('b');
  const left = chat.leave('a');
  await desk.socket.say({ type: 'ok', id: 2 }, { type: 'ok', id: 3 });
  assert.ok((await outcome(joined)).result && (await outcome(left)).result);
  chat.send({ group: 'b', content: 1 });
  desk.page = desk.page.reload();
  await desk.start({ groups: ['b'] });
  await desk.socket.welcome({ last: 3, resumed: true });
  assert.deepEqual(desk.socket.said().slice(1).map(({ type }) => type), [undefined], 'still in it');
  await desk.socket.end();
  await desk.world.pass(1000);
  await desk.socket.welcome({ last: null, epoch: 'e2' });
  assert.deepEqual(desk.socket.said().slice(1), [
    { type: 'join', group: 'b' }, // so that what has its number already finds it a member
    { id: 4, group: 'b', content: 1 },
    { id: 5, type: 'join', group: 'b' }, // so that it is certain
  ]);
});

test('groups are joined first also if the connection that was to repeat it ended', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({ groups: ['a'] });
  await desk.socket.say({ type: 'ok', id: 1 });
  chat.send({ group: 'a', content: 1 });
  for (const more of [{ last: null, epoch: 'e2' }, { last: 1, epoch: 'e2', resumed: true }]) {
    await desk.socket.end();
    await desk.world.pass(2_000);
    await desk.socket.welcome(more);
    assert.deepEqual(desk.socket.said().slice(1), [
      { type: 'join', group: 'a' },
      { id: 2, group: 'a', content: 1 },
      { id: 3, type: 'join', group: 'a' },
    ]);
  }
});

test('a group one may not join is not tried again; presence is for each connection', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online();
  const refused = chat.join('no');
  chat.join('yes', { presence: true });
  await desk.socket.say({ type: 'error', id: 1, code: 403, reason: 'forbidden' },
    { type: 'ok', id: 2 });
  assertError(await outcome(refused), 'forbidden');
  for (const [more, joins] of [[{ resumed: true }, 1], [{ last: null }, 2]]) {
    await desk.socket.end();
    await desk.world.pass(2000);
    await desk.socket.welcome({ last: 2, ...more });
    const said = desk.socket.said().slice(1);
    assert.deepEqual(said[0], { type: 'join', group: 'yes', presence: true });
    assert.equal(said.length, joins);
  }
});

test('a repeated join is stored before the position that says it is needed', async (t) => {
  const desk = new Desk(t);
  const chat = await desk.online({ groups: ['a'] });
  await desk.socket.say({ type: 'ok', id: 1 });
  await desk.socket.end();
  await desk.world.pass(1000);
  const writes = [];
  const { set } = desk.device.map;
  desk.device.map.set = function (key, value) {
    writes.push(key.replace(/.*:0:?/, ''));
    return set.call(this, key, value);
  };
  await desk.socket.welcome({ last: null, epoch: 'e2' });
  assert.ok(chat && writes.indexOf('2') >= 0 && writes.indexOf('2') < writes.indexOf('pos'));
});

test('an error without a number is told as an event', async (t) => {
  const desk = new Desk(t);
  await desk.online();
  await desk.socket.say({ type: 'error', code: 400, reason: 'ack_ahead' });
  assert.deepEqual(desk.took('error').map(({ code, reason }) => [code, reason]),
    [[400, 'ack_ahead']]);
});

test('close ends it, at every moment', async (t) => {
  const desk = new Desk(t);
  for (const moment of [
    () => {},
    () => desk.socket.open(),
    () => desk.socket.welcome(),
    () => desk.socket.end(),
    async () => { await desk.socket.welcome(); await desk.socket.end(); },
  ]) {
    const chat = await desk.start();
    await moment();
    chat.close();
    chat.close();
    await settle();
    assert.equal(chat.state, 'closed');
    const sockets = desk.sockets.length;
    await desk.world.pass(3_600_000);
    assert.deepEqual([desk.sockets.length, desk.world.timers.size, desk.device.holders.size],
      [sockets, 0, 0]);
  }
  assert.deepEqual(states(desk).filter((state) => state === 'closed').length, 5);
});
