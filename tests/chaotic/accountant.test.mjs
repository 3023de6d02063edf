/**
 * The accounts notice whatever may be wrong, and nothing else.
 *
 *     node --test tests/chaotic/accountant.test.mjs
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { audit } from './accountant.mjs';
import { SABOTAGE } from './sabotage.mjs';

/** A world in which events happen at the devices, each a moment after the one before. */
function world() {
  let t = 0;
  const devices = new Map();
  const add = (name, kind) => {
    devices.set(name, { name, user: name.split('-')[0], kind, events: [] });
  };
  for (const name of ['a-js', 'b-js']) add(name, 'js');
  for (const name of ['a-rust', 'b-rust', 'c-rust']) add(name, 'rust');
  const at = (name, ...events) => {
    for (const event of events) devices.get(name).events.push({ t: t += 1, ...event });
  };
  const everybody = [...devices.keys()];
  const welcome = (epoch, ...names) => {
    for (const name of names.length ? names : everybody) at(name, { e: 'welcome', epoch });
  };
  for (const name of everybody) at(name, { e: 'life' });
  welcome('e1');
  return {
    at,
    welcome,
    /** `a-js#1` is sent. */
    intend(name, more) {
      const [d, k] = name.split('#');
      at(d, { e: 'intent', k: Number(k), ...more }, { e: 'queued', k: Number(k) });
    },
    ok(name, more) {
      const [d, k] = name.split('#');
      at(d, { e: 'ok', k: Number(k), ...more });
    },
    refuse(name, more) {
      const [d, k] = name.split('#');
      at(d, { e: 'error', k: Number(k), code: 404, reason: 'receiver_offline', ...more });
    },
    hear(device, name, seq, epoch = 'e1') {
      const [d, k] = name.split('#');
      at(device, { e: 'msg', d, k: Number(k), sender: d.split('-')[0], seq, epoch });
    },
    devices: () => [...devices.values()],
    kinds: (allowed) => {
      const { findings } = audit([...devices.values()], allowed);
      return findings.map(({ kind }) => kind);
    },
    figures: () => audit([...devices.values()]).figures,
  };
}

/** Twelve messages of a-js to b, who has two devices; a-rust gets copies. */
function good() {
  const here = world();
  for (let k = 1; k <= 12; k += 1) {
    here.intend(`a-js#${k}`, { receiver: 'b' });
    here.ok(`a-js#${k}`);
    for (const device of ['b-js', 'b-rust', 'a-rust']) here.hear(device, `a-js#${k}`, 10 + k);
  }
  here.intend('a-js#13', { receiver: 'nobody' });
  here.refuse('a-js#13');
  return here;
}

test('what went well is found to be so', () => {
  const here = good();
  assert.deepEqual(here.kinds(), []);
  const { messages, accepted, refused, delivered } = here.figures();
  assert.deepEqual({ messages, accepted, refused, delivered },
    { messages: 13, accepted: 12, refused: 1, delivered: 36 });
});

const noticed = {
  drop: 'losses', duplicate: 'duplicates', repeat: 'duplicates', swap: 'disorder',
  damage: 'strays', lie: 'losses', silence: 'unanswered',
};
for (const [how, kind] of Object.entries(noticed)) {
  test(`sabotage is noticed: ${how}`, () => {
    const { findings } = audit(SABOTAGE[how](good().devices()));
    assert.ok(findings.some((found) => found.kind === kind), JSON.stringify(findings));
  });
}

test('every sabotage is tried', () => {
  assert.deepEqual(Object.keys(noticed).sort(), Object.keys(SABOTAGE).sort());
});

test('a copy for the other device of a sender is owed too', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'c' });
  here.ok('a-js#1');
  here.hear('c-rust', 'a-js#1', 1);
  assert.deepEqual(here.kinds(), ['losses']);
});

test('a group message is owed to everybody', () => {
  const here = world();
  here.intend('a-js#1', { group: 'room' });
  here.ok('a-js#1');
  for (const device of ['a-rust', 'b-js', 'b-rust']) here.hear(device, 'a-js#1', 1);
  assert.deepEqual(here.kinds(), ['losses']);
});

test('a gap covers what lies in it, and nothing beside it', () => {
  const beside = ['losses'];
  for (const [after, until, found] of [
    [0, 7, []], [6, 7, []], [7, 9, beside], [0, 6, beside],
  ]) {
    const here = world();
    here.intend('a-js#1', { receiver: 'b' });
    here.ok('a-js#1');
    for (const device of ['a-rust', 'b-js']) here.hear(device, 'a-js#1', 7);
    here.at('b-rust', { e: 'gap', after, until, reason: 'overflow' });
    assert.deepEqual(here.kinds({ gaps: ['overflow'] }), found, `${after} to ${until}`);
  }
});

test('if no device has it, it lies between the others of its sender', () => {
  const beside = ['losses'];
  for (const [after, until, found] of [
    [0, 8, []], [5, 6, []], [7, 9, beside], [0, 4, beside],
  ]) {
    const here = world();
    for (const [k, seq] of [[1, 5], [2, 0], [3, 8]]) {
      here.intend(`a-js#${k}`, { receiver: 'c', echo: true });
      here.ok(`a-js#${k}`);
      if (seq) for (const one of ['a-js', 'a-rust', 'c-rust']) here.hear(one, `a-js#${k}`, seq);
    }
    const gap = { e: 'gap', after, until, reason: 'overflow' };
    for (const one of ['a-js', 'a-rust', 'c-rust']) here.at(one, gap);
    const all = found.flatMap((kind) => [kind, kind, kind]);
    assert.deepEqual(here.kinds({ gaps: ['overflow'] }), all, `${after} to ${until}`);
  }
});

test('a gap of unlogged messages covers no logged one', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'c' });
  here.ok('a-js#1');
  here.hear('a-rust', 'a-js#1', 1);
  here.at('c-rust', { e: 'gap', dropped: 5 });
  assert.deepEqual(here.kinds({ gaps: ['dropped'] }), ['losses']);
});

test('a gap that has no cause in this round is a finding', () => {
  const here = world();
  here.at('a-js', { e: 'gap', after: 0, until: 9, reason: 'overflow' });
  assert.deepEqual(here.kinds({ gaps: ['dropped', 'epoch'] }), ['gaps']);
});

test('the end of an epoch covers what it had, and not what the next one has', () => {
  for (const [epoch, found] of [['e1', []], ['e2', ['losses']]]) {
    const here = world();
    if (epoch === 'e2') here.welcome('e2');
    here.intend('a-js#1', { receiver: 'c' });
    here.ok('a-js#1');
    here.hear('a-rust', 'a-js#1', 5, epoch);
    if (epoch === 'e1') here.welcome('e2');
    here.at('c-rust', { e: 'gap', after: 4, until: 0, reason: 'epoch' });
    assert.deepEqual(here.kinds({ gaps: ['epoch'] }), found, epoch);
  }
});

test('who has not come in a new epoch yet is owed no copy there, but his messages are', () => {
  const here = world();
  here.welcome('e2', 'a-js', 'b-js');
  here.intend('a-js#1', { receiver: 'b' });
  here.ok('a-js#1');
  here.hear('b-js', 'a-js#1', 1, 'e2');
  here.welcome('e2', 'a-rust', 'b-rust', 'c-rust');
  assert.deepEqual(here.kinds(), ['losses']);
  here.hear('b-rust', 'a-js#1', 1, 'e2');
  assert.deepEqual(here.kinds(), []);
});

test('a client that was killed may be told the end again, and only that', () => {
  for (const [kind, again, found] of [
    ['rust', [1, 2, 3], []], ['rust', [3], []], ['rust', [2], ['disorder']],
    ['rust', [1, 3], ['duplicates']], ['js', [3], []], ['js', [2, 3], ['duplicates']],
  ]) {
    const here = world();
    const send = (k) => {
      here.intend(`a-js#${k}`, { receiver: 'b' });
      here.ok(`a-js#${k}`);
      for (const one of ['a-rust', 'b-js', 'b-rust']) here.hear(one, `a-js#${k}`, k);
    };
    [1, 2, 3].forEach(send);
    here.at(`b-${kind}`, { e: 'life' });
    here.welcome('e1', `b-${kind}`);
    for (const k of again) here.hear(`b-${kind}`, `a-js#${k}`, k);
    send(4);
    assert.deepEqual(here.kinds(), found, `${kind} ${again}`);
  }
});

test('without having been killed it is told nothing twice', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'c' });
  here.ok('a-js#1');
  here.hear('a-rust', 'a-js#1', 1);
  here.hear('c-rust', 'a-js#1', 1);
  here.welcome('e1', 'c-rust');
  here.hear('c-rust', 'a-js#1', 1);
  assert.deepEqual(here.kinds(), ['duplicates']);
});

test('what comes again under a new epoch the JavaScript client recognises', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'b' });
  for (const one of ['a-rust', 'b-js', 'b-rust']) here.hear(one, 'a-js#1', 9);
  here.welcome('e2');
  here.ok('a-js#1');
  for (const one of ['a-rust', 'b-rust']) here.hear(one, 'a-js#1', 1, 'e2');
  assert.deepEqual(here.kinds(), []);
  here.hear('b-js', 'a-js#1', 1, 'e2');
  assert.deepEqual(here.kinds(), ['duplicates']);
});

test('what was refused is delivered to nobody', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'c' });
  here.refuse('a-js#1');
  here.hear('c-rust', 'a-js#1', 1);
  assert.deepEqual(here.kinds(), ['strays']);
});

test('what was accepted is not refused, and the other way round', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'nobody' });
  here.refuse('a-js#1');
  here.ok('a-js#1', { dup: true });
  assert.deepEqual(here.kinds(), ['faults']);
});

test('of what was not queued nobody knows; what was queued is answered', () => {
  const here = world();
  here.at('a-js', { e: 'intent', k: 1, receiver: 'c' });
  assert.deepEqual(here.kinds(), []);
  here.at('a-js', { e: 'queued', k: 1 });
  assert.deepEqual(here.kinds(), ['unanswered']);
});

test('an unlogged message may be missing, and comes once', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'c', ttl: 0 });
  here.ok('a-js#1', { logged: false });
  assert.deepEqual(here.kinds(), []);
  here.hear('c-rust', 'a-js#1');
  assert.deepEqual(here.kinds(), []);
  here.hear('c-rust', 'a-js#1');
  assert.deepEqual(here.kinds(), ['duplicates']);
});

test('places go up on a connection, and a place is one message on all devices', () => {
  const here = world();
  for (const k of [1, 2]) {
    here.intend(`a-js#${k}`, { receiver: 'c' });
    here.ok(`a-js#${k}`);
  }
  here.hear('a-rust', 'a-js#1', 1);
  here.hear('a-rust', 'a-js#2', 2);
  here.hear('c-rust', 'a-js#1', 2);
  here.hear('c-rust', 'a-js#2', 1);
  const kinds = here.kinds();
  assert.ok(kinds.includes('disorder') && kinds.includes('duplicates'), `${kinds}`);
});

test('whoever gets what was not for him, or was never sent, is a finding', () => {
  const here = world();
  here.intend('a-js#1', { receiver: 'b' });
  here.hear('c-rust', 'a-js#1', 1);
  here.hear('c-rust', 'a-js#99', 2);
  assert.deepEqual(here.kinds(), ['strays', 'strays', 'unanswered']);
});

test('a receipt comes once', () => {
  const here = world();
  here.at('a-js', { e: 'receipt', mid: 'x:1', by: 'b' });
  assert.deepEqual(here.kinds(), []);
  here.at('a-js', { e: 'receipt', mid: 'x:1', by: 'b' });
  assert.deepEqual(here.kinds(), ['duplicates']);
});

test('a client that is sent away, or loses its name, is a finding', () => {
  const here = world();
  here.at('a-js', { e: 'state', state: 'waiting', code: 4409, reason: 'replaced' });
  here.intend('a-js#1', { receiver: 'c' });
  here.at('a-js', { e: 'error', k: 1, code: 409, reason: 'replaced', uncertain: true });
  assert.deepEqual(here.kinds(), ['faults', 'faults', 'unanswered']);
});
