// The chat page, driven as its user drives it. Nothing here waits for a time, only for what is to
// be seen; a negative ("eve sees nothing") is looked at after something sent later has arrived.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { constants, inflateRawSync } from 'node:zlib';

import { startServer } from './server.mjs';
import {
  Desk, bareSocket, eventually, everything, launchBrowser, look, say, screenshot, texts, waitOnline,
  waitState, waitText,
} from './windows.mjs';
import { startWire } from './wire.mjs';

// What Chromium itself prints when a connection is refused; a page cannot prevent it.
const REFUSED = /WebSocket connection to .* failed|net::ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE/;

let browser, server, desk;
before(async () => { browser = await launchBrowser(); });
after(async () => { await browser?.close(); });
beforeEach(async () => { server = await startServer(); desk = new Desk(browser, server); });
afterEach(async () => { await server.stop(); });

test('a private message reaches exactly one other user', async () => {
  const [alice, bob, eve] = [await desk.openAs('alice'), await desk.openAs('bob'),
    await desk.openAs('eve')];
  await say(alice, 'bob', '你好，Bob！👋🏽 only for you');
  await look(bob, 'alice');
  await waitText(bob, '你好，Bob！👋🏽 only for you');
  await say(bob, 'alice', '收到 🎉\nwith a second line');
  await waitText(alice, '收到 🎉');
  assert.deepEqual(await texts(alice),
    ['你好，Bob！👋🏽 only for you', '收到 🎉\nwith a second line']);
  await alice.locator('.status.got').waitFor();
  await screenshot(alice, 'private-light');

  await say(bob, 'eve', 'this one is for eve');
  await look(eve, 'bob');
  await waitText(eve, 'this one is for eve');
  const seen = await everything(eve);
  assert.doesNotMatch(seen, /你好|收到|alice/);
  assert.match(seen, /this one is for eve/);
  await desk.close();
});

test('a group message reaches the whole group and no other group', async () => {
  const dark = { colorScheme: 'dark' };
  const [alice, bob] = [await desk.openAs('alice', '#tea'), await desk.openAs('bob', '#tea')];
  const carol = await desk.openAs('carol', '&room=tea', dark);
  const eve = await desk.openAs('eve', '#中文');
  await say(alice, '', 'good morning, tea 大家好');
  for (const page of [bob, carol]) await waitText(page, 'good morning, tea 大家好');
  await say(carol, '', 'good morning, alice');
  for (const page of [alice, bob]) await waitText(page, 'good morning, alice');
  assert.deepEqual(await texts(alice), ['good morning, tea 大家好', 'good morning, alice']);
  assert.deepEqual(await alice.locator('.msg:not(.mine) .who').allTextContents(), ['carol']);
  await screenshot(carol, 'group-dark');

  await say(alice, 'eve', 'groups do not part people'); // and by now the rest would have arrived
  await look(eve, 'alice');
  await waitText(eve, 'groups do not part people');
  assert.doesNotMatch(await everything(eve), /good morning/);
  await desk.close();
});

test('who is not known is said beside the message, which can be sent again', async () => {
  const alice = await desk.openAs('alice');
  await say(alice, 'bob', 'are you there?');
  const status = alice.locator('.status.failed');
  assert.match(await status.innerText(), /bob.? is not here.*Not sent\./);
  await alice.reload(); // a refusal is kept, too: nothing that was written is lost
  await look(alice, 'bob');
  await screenshot(alice, 'refused-message');

  const bob = await desk.openAs('bob');
  await status.getByRole('button', { name: 'Send again' }).click();
  await look(bob, 'alice');
  await waitText(bob, 'are you there?');
  await alice.locator('.status.got').waitFor();
  assert.deepEqual(await texts(alice), ['are you there?'], 'once');
  await desk.close();
});

test('a message is sent when the server has it, and delivered when a window has it', async () => {
  const [alice, bob] = [await desk.openAs('alice'), await desk.openAs('bob')];
  await say(alice, 'bob', 'here');
  await alice.locator('.status.got').getByText('delivered').waitFor();
  await bob.close();
  await say(alice, 'bob', 'away');
  await alice.locator('.msg', { hasText: 'away' }).locator('.status.ok').waitFor();
  await screenshot(alice, 'ticks');
  const later = await desk.openAs('bob');
  await look(later, 'alice');
  await waitText(later, 'away');
  assert.deepEqual(await texts(later), ['here', 'away']);
  await alice.locator('.msg', { hasText: 'away' }).locator('.status.got').waitFor();
  await alice.reload();
  await look(alice, 'bob');
  assert.equal(await alice.locator('.status.got').count(), 2);
  await desk.close();
});

test('hostile content is text and nothing else', async () => {
  const hostile = ['<img src=x onerror="window.owned=1">', '<script>window.owned=2</script>',
    '\u202Egnp.exe\u202C "><svg onload=window.owned=3>', '{"sender":"bob"', 'javascript:alert(1)'];
  const [alice, bob] = [await desk.openAs('alice'), await desk.openAs('bob')];
  for (const text of hostile) await say(bob, 'alice', text);
  await look(alice, 'bob');
  await waitText(alice, hostile.at(-1));
  assert.deepEqual(await texts(alice), hostile);

  const name = '<img src=x onerror=window.owned=4>';
  const mallory = await desk.openAs(name);
  await say(mallory, 'alice', 'my name is markup');
  await look(alice, name);
  await waitText(alice, 'my name is markup');
  await screenshot(alice, 'hostile');

  // What a program sends may be anything.
  const bare = await bareSocket(mallory, `${server.webSocket}/?user=__proto__`);
  await bare.send('{"type":"join","group":"lobby"}');
  await bare.send(JSON.stringify({ group: 'lobby', content: { '\u202E<b onclick=owned=5>': 1 } }));
  await bare.send('{"group":"lobby","content":"polluted"}');
  await look(alice, '#lobby');
  await waitText(alice, 'polluted');
  for (const page of [alice, bob, mallory]) {
    assert.equal(await page.evaluate(() => window.owned), undefined);
    assert.equal(await page.locator('#board img, #board b, #log svg:not(.tick):not(.face svg)')
      .count(), 0);
    assert.equal(await overflow(page), 0);
  }
  await desk.close();
});

test('plain clients talk with the page in groups and to one another', async () => {
  const alice = await desk.openAs('alice');
  const robot = await bareSocket(alice, `${server.webSocket}/?user=robot`);
  await robot.send('{"type":"join","group":"lobby"}');
  await robot.send('{"group":"lobby","content":"hello from a tutorial"}');
  await robot.send('{"group":"lobby","content":{"n":[1,2]}}');
  await waitText(alice, '{"n":[1,2]}');
  assert.deepEqual(await texts(alice), ['hello from a tutorial', '{"n":[1,2]}']);
  await say(alice, 'robot', 'and back');
  await say(alice, '#lobby', 'to all'); // and by now the other has arrived
  await robot.heard('"content":"to all"');
  assert.match((await robot.heard('and back')), /"sender":"alice"/);
  await desk.close();
});

test('groups are joined, left, and joined again', async () => {
  const [alice, bob] = [await desk.openAs('alice'), await desk.openAs('bob', '#tea')];
  await alice.getByRole('button', { name: 'Join a group' }).click();
  await alice.keyboard.type('tea');
  await alice.keyboard.press('Enter');
  assert.equal(await alice.locator('#title').innerText(), '#tea');
  await say(alice, '', 'a cup, please');
  await waitText(bob, 'a cup, please');
  await alice.getByRole('button', { name: /Leave .?#tea/ }).click();
  await alice.locator('#sub').getByText('You have left').waitFor();
  await say(bob, '', 'who wants more?');
  await bob.locator('.msg', { hasText: 'more?' }).locator('.status.ok').waitFor();
  await say(alice, '', 'from outside');
  await alice.locator('.status.failed').getByText('You are not in').waitFor();
  await screenshot(alice, 'group-left');
  await alice.getByRole('button', { name: /Join .?#tea/ }).click();
  await alice.locator('.status.failed').getByRole('button').click();
  await waitText(bob, 'from outside');
  assert.deepEqual(await texts(alice), ['a cup, please', 'from outside']);
  await alice.reload();
  await say(bob, '', 'still in?');
  await look(alice, '#tea');
  await waitText(alice, 'still in?');
  assert.deepEqual(await texts(alice), ['a cup, please', 'from outside', 'still in?']);
  await desk.close();
});

test('reconnect now does not wait for the countdown', async () => {
  const alice = await desk.openAs('alice');
  const { port } = server;
  await server.stop('SIGKILL');
  await waitState(alice, 'waiting');
  server = await startServer({ port });
  const now = alice.getByRole('button', { name: 'Reconnect now' });
  // It may have come back by itself in the meantime, which is as good.
  await now.click({ timeout: 2_000 }).catch(() => {});
  await waitOnline(alice);
  await desk.close(REFUSED);
});

test('everything can be done with the keyboard', async () => {
  const bob = await desk.openAs('bob');
  const alice = await desk.open('');
  const { keyboard } = alice;
  const focused = () => alice.evaluate(() => document.activeElement.id);
  const tab = async (arrived) => {
    for (let steps = 0; steps < 30 && !await arrived(); steps += 1) await keyboard.press('Tab');
    assert.ok(await arrived());
  };
  await alice.evaluate(() => document.activeElement.blur());
  await tab(async () => await focused() === 'name');
  assert.equal(await alice.locator('#name').evaluate((node) => getComputedStyle(node).outlineStyle),
    'solid', 'one sees where one is');
  await keyboard.type('alice');
  await keyboard.press('Enter');
  await waitOnline(alice);
  assert.equal(await focused(), 'text', 'one may write at once');

  await keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'to');
  await keyboard.type('bob');
  await keyboard.press('Enter');
  assert.equal(await focused(), 'text');
  await keyboard.type('one line');
  await keyboard.press('Shift+Enter');
  await keyboard.type('and another');
  await keyboard.press('Enter');
  await look(bob, 'alice');
  await waitText(bob, 'one line');
  assert.deepEqual(await texts(bob), ['one line\nand another']);

  // What was begun for bob stays with bob: it must not stand in the box that writes to all.
  await keyboard.type('a half-written secret');
  await keyboard.press('Escape');
  assert.equal(await alice.locator('#title').innerText(), '#lobby');
  assert.equal(await alice.inputValue('#text'), '');
  assert.equal(await focused(), 'text');
  await keyboard.type('to all');
  await keyboard.press('Enter');
  await look(bob, '#lobby');
  await waitText(bob, 'to all');
  assert.deepEqual(await texts(bob), ['to all']);

  // All the way round with Tab, through the list, the log and the composer: no trap.
  const stops = new Set();
  for (let steps = 0; steps < 16; steps += 1) {
    await keyboard.press('Tab');
    stops.add(await alice.evaluate(() => document.activeElement.id
      || document.activeElement.className));
  }
  for (const stop of ['to', 'text', 'send', 'log', 'leave', 'conv']) {
    assert.ok(stops.has(stop), stop);
  }

  // Into the list with Tab, onto bob with Enter, and the draft is there.
  await tab(() => alice.evaluate(() => document.activeElement.className === 'conv'
    && /bob/.test(document.activeElement.textContent)));
  await keyboard.press('Enter');
  assert.equal(await alice.inputValue('#text'), 'a half-written secret');
  await desk.close();
});

test('text follows its address to one person, and never to all', async () => {
  const [alice, bob] = [await desk.openAs('alice'), await desk.openAs('bob')];
  await alice.fill('#text', 'written first, addressed second');
  await alice.fill('#to', 'bob');
  await alice.press('#to', 'Enter');
  assert.equal(await alice.inputValue('#text'), 'written first, addressed second');
  await alice.fill('#to', '');
  await alice.press('#to', 'Enter');
  assert.equal(await alice.inputValue('#text'), '');
  await say(alice, '', 'hello, group');
  await waitText(bob, 'hello, group');

  await alice.fill('#to', 'bob'); // not confirmed by Enter, and still what counts
  await alice.locator('#text').press('Enter');
  await look(bob, 'alice');
  await waitText(bob, 'written first, addressed second');
  await look(bob, '#lobby');
  assert.deepEqual(await texts(bob), ['hello, group']);
  await desk.close();
});

test('Enter that chooses a word of an input method sends nothing', async () => {
  const alice = await desk.openAs('alice');
  await alice.fill('#text', 'ni hao');
  await alice.locator('#text').dispatchEvent('keydown', { key: 'Enter', isComposing: true });
  assert.equal(await alice.inputValue('#text'), 'ni hao');
  assert.deepEqual(await texts(alice), []);
  await alice.press('#text', 'Enter');
  await waitText(alice, 'ni hao');
  await desk.close();
});

test('the page speaks Chinese where the browser does', async () => {
  const [door, mei] = [await desk.open('', { locale: 'zh-CN' }),
    await desk.openAs('小美', '#茶馆', { locale: 'zh-CN' })];
  assert.match(await door.locator('html').getAttribute('lang'), /^zh/);
  assert.match(await door.locator('#door').innerText(), /你的名字[^]*群组[^]*连接/);
  await screenshot(door, 'door-chinese');
  assert.match(await mei.locator('#pill').innerText(), /在线/);
  await say(mei, '小明', '在吗？');
  await mei.locator('.status.failed').getByText('不在线').waitFor();
  await look(mei, '茶馆');
  await screenshot(mei, 'group-chinese');
  await mei.getByRole('button', { name: 'English' }).click();
  assert.equal(await mei.locator('html').getAttribute('lang'), 'en');
  assert.match(await mei.locator('#pill').innerText(), /Online/);
  assert.equal(await mei.locator('#title').innerText(), '#茶馆');
  await desk.close();
});

test('a phone shows all of it without scrolling sideways', async () => {
  const bob = await desk.openAs('bob');
  for (const [width, height] of [[360, 640], [320, 568]]) {
    const phone = { viewport: { width, height }, isMobile: true, hasTouch: true };
    const name = `phone-${width}`;
    const door = await desk.open('', phone);
    assert.equal(await overflow(door), 0);
    await screenshot(door, `door-${name}`);
    const page = await desk.openAs(name, '', phone);
    await say(bob, name, `${'W'.repeat(300)} https://example.org/${'long/'.repeat(60)}`);
    await say(bob, '', '很长的一行'.repeat(40));
    await waitText(page, '很长的一行');
    await page.locator('.badge:visible').waitFor();
    assert.equal(await overflow(page), 0);
    await look(page, 'bob');
    await waitText(page, 'WWW');
    await say(page, 'bob', 'from the phone 📱');
    await look(bob, name);
    await waitText(bob, 'from the phone 📱');
    await say(page, 'nobody', 'hm');
    await page.locator('.status.failed').waitFor();
    assert.equal(await overflow(page), 0);
    for (const id of ['to', 'text', 'send']) {
      assert.ok(await page.locator(`#${id}`).evaluate((node) => {
        const box = node.getBoundingClientRect();
        return box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight
          && box.height >= 36;
      }), `#${id} is within the screen and large enough for a finger`);
    }
    await screenshot(page, name);
  }
  await desk.close();
});

test('a name the server could not take is said before asking', async () => {
  const cases = [['*', '“*”'], [' bob', 'space'], ['', 'choose a name'], ['名'.repeat(43), '129'],
    ['a\u202Eb', 'text-direction'], ['a\nb', 'control']];
  for (const [name, why] of cases) {
    const page = await desk.open(`?user=${encodeURIComponent(name)}`);
    await page.locator('#fault').getByText(why).waitFor();
    assert.equal(await page.locator('#board').isVisible(), false);
  }
  await desk.close();
});

test('a name the server refuses is said at the door', async () => {
  const alice = await desk.openAs('alice');
  const guest = await bareSocket(alice, `${server.webSocket}/`);
  await guest.send('{"receiver":"alice","content":"which guest am I?"}');
  const row = alice.locator('.conv', { hasText: 'which guest am I?' });
  const number = await row.locator('.name').innerText();
  assert.match(number, /^[0-9]+$/);
  const page = await desk.open(`?user=${number}`);
  await page.locator('#fault').getByText('taken').waitFor();
  await screenshot(page, 'refused');
  await page.fill('#name', 'carol');
  await page.press('#name', 'Enter');
  await waitOnline(page);
  await desk.close(/WebSocket connection to .* failed/);
});

test('a second window is asked for its own name; a reload is not', async () => {
  const first = await desk.open('');
  await first.fill('#name', 'alice');
  await first.fill('#room', 'tea');
  await first.press('#name', 'Enter');
  await waitOnline(first);
  const second = await desk.open('');
  assert.equal(await second.inputValue('#name'), '');
  await first.reload();
  await waitOnline(first);
  assert.equal(await first.locator('#me').innerText(), 'alice');
  assert.match(await first.locator('#title').innerText(), /tea/);
  await first.getByRole('button', { name: 'Change name' }).click();
  assert.equal(await first.locator('#name').isVisible(), true);
  await desk.close();
});

test('a flood leaves the page small and the last message in sight', async () => {
  const [alice, bob] = [await desk.openAs('alice'), await desk.openAs('bob')];
  const robot = await bareSocket(bob, `${server.webSocket}/?user=robot`);
  await robot.send('{"type":"join","group":"lobby"}');
  await robot.sendMany(10_000, '{"group":"lobby","content":"flood ', '"}');
  await bob.locator('#log .text', { hasText: 'flood 10000' }).waitFor();
  await waitText(alice, 'flood 10000');
  assert.ok(await alice.locator('#log > *').count() <= 1_002);
  await alice.locator('.note', { hasText: 'Older messages' }).waitFor({ state: 'attached' });
  const kept = (page) => page.evaluate(() => JSON.stringify(localStorage).length);
  assert.ok(await kept(alice) < 2_000_000, 'two users at most');
  await say(alice, '', 'still alive');
  await waitText(bob, 'still alive');
  await desk.close();
});

test('long messages are compressed on the wire, and arrive as they were written', async (here) => {
  const agreed = {
    off: '',
    on: 'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
    takeover: 'permessage-deflate',
  };
  const lines = (name) => Array.from({ length: 150 }, (_, line) =>
    `${name} writes line ${line}: ${'所以 ça va 🎉'.slice(line % 7)} and so on`);
  for (const [mode, extensions] of Object.entries(agreed)) {
    await server.stop();
    server = await startServer({ more: ['--deflate', mode] });
    const wire = await startWire(server.port);
    here.after(() => wire.stop());
    desk = new Desk(browser, wire);
    await (await desk.context({})).addInitScript(() => {
      window.sockets = [];
      window.WebSocket = class extends WebSocket {
        constructor(...args) { super(...args); window.sockets.push(this); }
      };
    });
    const [alice, bob] = [await desk.openAs('alice'), await desk.openAs('bob')];
    for (const page of [alice, bob]) {
      assert.deepEqual(await page.evaluate(() => sockets.map((socket) => socket.extensions)),
        [extensions]);
    }
    const [question, answer] = [lines('alice').join('\n'), lines('bob').join('\n')];
    await say(alice, 'bob', question);
    await look(bob, 'alice');
    await waitText(bob, 'alice writes line 149');
    await say(bob, 'alice', answer);
    await waitText(alice, 'bob writes line 149');
    for (const page of [alice, bob]) assert.deepEqual(await texts(page), [question, answer]);

    const long = Buffer.byteLength(answer); // the shorter of the two
    // Back to who wrote it, too, with its place in the order.
    const isLong = ({ isCompressed, payload }) => isCompressed || payload.length > long;
    await eventually('both came back', () => wire.toBrowser().filter(isLong).length >= 4);
    for (const [frames, count] of [[wire.toServer(), 2], [wire.toBrowser(), 4]]) {
      const compressed = frames.filter((frame) => frame.isCompressed);
      if (mode === 'off') {
        assert.equal(compressed.length, 0);
        assert.equal(frames.filter(({ payload }) => payload.length > long).length, count);
      } else {
        assert.ok(compressed.length >= count, 'a question and an answer');
        assert.ok(frames.every(({ payload }) => payload.length < long / 3), 'much shorter');
      }
      if (mode === 'on') {
        // RFC 7692 §7.2.2: with the four octets that were taken off, each by itself.
        const said = compressed.map(({ payload }) => JSON.parse(inflateRawSync(
          Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]),
          { finishFlush: constants.Z_SYNC_FLUSH }).toString()).content);
        for (const text of [question, answer]) assert.ok(said.includes(text));
      }
    }
    await desk.close();
  }
});

const overflow = (page) => page.evaluate(() => Math.max(0, document.documentElement.scrollWidth
  - document.documentElement.clientWidth, visualViewport.width - screen.width));
