// Nothing lost and nothing twice, in what the chat page shows: windows that are offline, reloaded,
// copied and asleep, and a server that is killed. Who writes does it in the page's own composer.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { startServer } from './server.mjs';
import {
  Desk, eventually, launchBrowser, look, say, screenshot, texts, waitOnline, waitState, waitText,
} from './windows.mjs';
import { startWire } from './wire.mjs';

// What Chromium itself prints where a connection fails; a page cannot prevent it.
const CUT = /WebSocket connection|ERR_(CONNECTION|EMPTY|INTERNET)/;
const BRITISH = { locale: 'en-GB' }; // another browser than that of the others

let browser, server, wire, desk, folder;
before(async () => { browser = await launchBrowser(); });
after(async () => { await browser?.close(); });
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'switchboard-browser-')); });
afterEach(async () => {
  wire?.stop();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

// A server behind a wire that can be cut, and windows of alice and bob, each writing to the other.
async function talkers(more = [], { isCuttable = true } = {}) {
  server = await startServer({ more });
  wire = isCuttable ? await startWire(server.port) : null;
  desk = new Desk(browser, wire ?? server);
  const pages = [await desk.openAs('alice', '', BRITISH), await desk.openAs('bob')];
  await to(pages[0], 'bob');
  await to(pages[1], 'alice');
  return pages;
}

async function to(page, name) {
  await page.fill('#to', name);
  await page.press('#to', 'Enter');
}

// Writes `name 1` to `name COUNT` with `pause` ms in between; goes on where it was when the window
// was reloaded. What is returned is settled when all are written.
function type(page, name, count, pause) {
  return page.evaluate(async ([words, last, ms]) => {
    const key = `typed ${words}`;
    for (let n = Number(sessionStorage.getItem(key) ?? 0) + 1; n <= last; n += 1) {
      document.getElementById('text').value = `${words} ${n}`;
      document.getElementById('composer').requestSubmit();
      sessionStorage.setItem(key, n);
      if (ms) await new Promise((resolve) => { setTimeout(resolve, ms); });
    }
  }, [name, count, pause]);
}

const typed = (page, name, count) => page.waitForFunction(([key, least]) =>
  Number(sessionStorage.getItem(key)) >= least, [`typed ${name}`, count]);

const lines = (name, count) => Array.from({ length: count }, (_, n) => `${name} ${n + 1}`);

// Waits until so many are shown, then that nothing more comes; all of them, in this order.
async function shows(page, expected) {
  await page.waitForFunction((count) =>
    document.querySelectorAll('#log .text').length >= count, expected.length);
  await page.waitForTimeout(300);
  assert.deepEqual(await texts(page), expected);
}

// All that this window wrote has one of these statuses.
async function all(page, status, count) {
  await page.waitForFunction(([names, least]) =>
    document.querySelectorAll(`#log .status:is(${names})`).length >= least,
  [status.replace(/^|(?<= )/g, '.').replaceAll(' ', ', '), count]);
  assert.equal(await page.locator('#log .status').count(), count);
}

const notes = (page) => page.locator('#log .note.warn').allTextContents();

test('what is written offline waits, is there after a reload, and is sent once', async () => {
  const [alice, bob] = await talkers();
  const network = await alice.context().newCDPSession(alice);
  const emulate = (offline) => network.send('Network.emulateNetworkConditions',
    { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await network.send('Network.enable');
  await emulate(true);
  wire.cut(); // Chromium lets WebSockets live on
  await waitState(alice, 'waiting', 'connecting');
  await alice.locator('#away').getByText('Not connected').waitFor();
  await type(alice, 'offline', 3);
  await all(alice, 'pending', 3);
  await alice.locator('#when', { hasText: /Next try in \S+ s/ }).waitFor();
  await screenshot(alice, 'offline');

  await emulate(false); // the page can be loaded, no WebSocket be opened
  await alice.reload();
  await look(alice, 'bob');
  await shows(alice, lines('offline', 3));
  await all(alice, 'pending', 3);
  await type(alice, 'offline', 5);
  wire.mend();
  await look(bob, 'alice');
  await shows(bob, lines('offline', 5));
  await all(alice, 'got', 5);
  await shows(alice, lines('offline', 5));
  await alice.reload();
  await look(alice, 'bob');
  await shows(alice, lines('offline', 5));
  await all(alice, 'got', 5);
  await desk.close(CUT);
});

test('a reload in the midst of fifty messages', async () => {
  const [alice, bob] = await talkers();
  for (const least of [7, 20, 35]) {
    type(alice, 'reload', 50, 3).catch(() => {}); // until the reload ends it
    await typed(alice, 'reload', least);
    await alice.reload();
    await to(alice, 'bob');
  }
  await bob.reload();
  await to(bob, 'alice');
  await type(alice, 'reload', 50);
  await shows(bob, lines('reload', 50));
  await shows(alice, lines('reload', 50));
  await all(alice, 'ok got', 50); // a receipt comes once, perhaps while the window is reloaded
  for (const [page, name] of [[alice, 'bob'], [bob, 'alice']]) {
    await page.reload();
    await look(page, name);
    await shows(page, lines('reload', 50));
  }
  await all(alice, 'ok got', 50);
  await desk.close(CUT);
});

test('three windows of one user, one of them a copy with its storage', async () => {
  const [alice, bob] = await talkers();
  const second = await desk.openAs('alice', '', BRITISH);
  const [third] = await Promise.all([alice.waitForEvent('popup'),
    alice.evaluate(() => { window.open(location.href); })]);
  await Promise.all([second, third].map(waitOnline));
  assert.equal(await third.evaluate(() => sessionStorage.length),
    await alice.evaluate(() => sessionStorage.length), 'it is a copy');
  const windows = [alice, second, third];
  await Promise.all(windows.map((page) => to(page, 'bob')));
  await Promise.all(windows.map((page, n) => type(page, `window${n}`, 20, 2)));
  const expected = windows.flatMap((_, n) => lines(`window${n}`, 20));
  await bob.waitForFunction(() => document.querySelectorAll('#log .text').length >= 60);
  await say(bob, 'alice', 'to all three');
  const once = async (page) => {
    await page.locator('#log .text', { hasText: 'to all three' }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll('#log .text').length >= 61);
    const seen = await texts(page);
    assert.deepEqual([...seen].sort(), [...expected, 'to all three'].sort());
    for (const n of windows.keys()) {
      assert.deepEqual(seen.filter((text) => text.startsWith(`window${n}`)),
        lines(`window${n}`, 20));
    }
    return seen;
  };
  for (const page of [...windows, bob]) await once(page);
  // Delivered is told to the window that sent, and by storage to the others.
  for (const page of windows) await all(page, 'got', 60);
  await Promise.all(windows.map((page) => page.reload()));
  await Promise.all(windows.map((page) => look(page, 'bob')));
  const seen = [];
  for (const page of windows) seen.push(await once(page));
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], seen[0]);
  await desk.close();
});

test('a phone that sleeps until the server has given it up', async () => {
  const [alice, bob] = await talkers(['--session-ping', '1s', '--session-silence', '2s',
    '--log', 'debug']);
  await alice.close();
  const phone = await desk.openAs('alice', '', { viewport: { width: 390, height: 844 },
    isMobile: true, hasTouch: true });
  await to(phone, 'bob');
  await type(phone, 'before', 3);
  await all(phone, 'got', 3);
  const sleep = await phone.context().newCDPSession(phone);
  await sleep.send('Page.setWebLifecycleState', { state: 'frozen' });
  await phone.context().setOffline(true);
  await type(bob, 'asleep', 30);
  await all(bob, 'ok', 30);
  while (!/4408|code=1006|idle/.test(server.log())) await bob.waitForTimeout(100);
  wire.cut(); // while it slept its address has changed
  await sleep.send('Page.setWebLifecycleState', { state: 'active' });
  await waitState(phone, 'waiting', 'connecting');
  await type(phone, 'after', 2);
  await screenshot(phone, 'phone-offline');
  wire.mend();
  await phone.context().setOffline(false);
  await shows(phone, [...lines('before', 3), ...lines('asleep', 30), ...lines('after', 2)]);
  await all(phone, 'ok got', 5);
  await all(bob, 'ok got', 30);
  await shows(bob, [...lines('before', 3), ...lines('asleep', 30), ...lines('after', 2)]);
  await desk.close(CUT);
});

test('a server that is killed while both write, and keeps its data', async () => {
  const more = ['--data', join(folder, 'data')];
  const [alice, bob] = await talkers(more, { isCuttable: false });
  const { port } = server;
  const done = Promise.all([type(alice, 'alice', 120, 15), type(bob, 'bob', 120, 15)]);
  for (const least of [30, 70]) {
    await typed(alice, 'alice', least);
    await server.stop('SIGKILL');
    server = await startServer({ port, more });
  }
  await done;
  await waitText(alice, 'bob 120');
  await waitText(bob, 'alice 120');
  await all(alice, 'ok got', 120);
  await all(bob, 'ok got', 120);
  for (const page of [alice, bob]) {
    const seen = await texts(page);
    for (const name of ['alice', 'bob']) {
      assert.deepEqual(seen.filter((text) => text.startsWith(name)), lines(name, 120));
    }
    assert.equal(seen.length, 240);
    assert.deepEqual(await notes(page), []);
  }
  // One order, that of the server, in both windows, once each has its own messages back.
  await eventually('both show one order', async () =>
    `${await texts(alice)}` === `${await texts(bob)}`);
  await desk.close(CUT);
});

test('a server that starts again without data: it is said, and nothing comes twice', async () => {
  const [alice, bob] = await talkers([], { isCuttable: false });
  await type(alice, 'before', 3);
  await shows(bob, lines('before', 3));
  await all(alice, 'got', 3);
  const { port } = server;
  await server.stop('SIGKILL');
  for (const page of [alice, bob]) await waitState(page, 'waiting');
  await type(alice, 'away', 3);
  await alice.context().setOffline(true); // bob has to be there first: now nobody knows him
  server = await startServer({ port });
  await waitOnline(bob);
  await alice.context().setOffline(false);
  await waitOnline(alice);
  await shows(bob, [...lines('before', 3), ...lines('away', 3)]);
  await shows(alice, [...lines('before', 3), ...lines('away', 3)]);
  for (const page of [alice, bob]) {
    assert.deepEqual(await notes(page), ['Messages may be missing here: the server started again '
      + 'without what it had kept.']);
  }
  await screenshot(bob, 'gap');
  await bob.reload();
  await look(bob, 'alice');
  await shows(bob, [...lines('before', 3), ...lines('away', 3)]);
  assert.equal((await notes(bob)).length, 1, 'it is kept, too');
  // Groups are joined again.
  await say(alice, '#lobby', 'who is still here?');
  await look(bob, '#lobby');
  await waitText(bob, 'who is still here?');
  await desk.close(CUT);
});

test('more than the log keeps: it is said in its place, and to who writes in vain', async () => {
  const [alice, bob] = await talkers(['--log-messages', '5']);
  await say(alice, '#lobby', 'before');
  await look(bob, '#lobby');
  await waitText(bob, 'before');
  wire.cut();
  await waitState(bob, 'waiting', 'connecting');
  await waitState(alice, 'waiting', 'connecting');
  const network = await bob.context().newCDPSession(bob);
  await network.send('Network.enable');
  await network.send('Network.setBlockedURLs', { urls: ['*'] });
  await bob.context().setOffline(true); // before the wire is whole: bob's window stays away
  wire.mend();
  await alice.getByRole('button', { name: 'Reconnect now' }).click({ timeout: 2_000 })
    .catch(() => {});
  await waitOnline(alice);
  await type(alice, 'group', 12);
  await all(alice, 'ok', 13);
  await to(alice, 'bob');
  await type(alice, 'direct', 3);
  await alice.locator('.status.failed', { hasText: 'has as many messages waiting' }).first()
    .waitFor();
  await screenshot(alice, 'mailbox-full');
  await network.send('Network.setBlockedURLs', { urls: [] });
  await bob.context().setOffline(false);
  await waitOnline(bob);
  await waitText(bob, 'group 12');
  const shown = await bob.locator('#log :is(.text, .note.warn)').allTextContents();
  assert.equal(shown[0], 'before');
  assert.match(shown[1], /^Messages may be missing here: more came/);
  assert.deepEqual(shown.slice(2), lines('group', 12).slice(-5));
  await screenshot(bob, 'overflow');
  await desk.close(CUT);
});

test('what a closed window had not sent goes out through another, or the next', async () => {
  const [alice, bob] = await talkers();
  const held = (page) => page.evaluate(async () =>
    (await navigator.locks.query()).held.map(({ name }) => name.split(':').pop()).sort());
  assert.deepEqual(await held(alice), ['0'], 'a window holds one lock, that of its slot');
  const second = await desk.openAs('alice', '', BRITISH);
  assert.deepEqual(await held(second), ['0', '1']);
  const leave = async (page, words, other) => {
    wire.cut();
    await waitState(page, 'waiting', 'connecting');
    await type(page, words, 2);
    await page.waitForFunction(() =>
      document.querySelectorAll('#log .status.pending').length === 2);
    await page.close();
    // As if half a minute had passed, after which nobody is taken for reloading.
    await other.evaluate(() => {
      for (const [key, text] of Object.entries(localStorage)) {
        if (!/^switchboard:.*:alice:\d+$/.test(key)) continue;
        localStorage.setItem(key, JSON.stringify({ ...JSON.parse(text), at: 0 }));
      }
    });
  };
  await leave(alice, 'first', second);
  wire.mend();
  await look(bob, 'alice');
  await shows(bob, lines('first', 2));
  await eventually('its lock is free again', async () => `${await held(second)}` === '1');
  await to(second, 'bob');
  await leave(second, 'last', await desk.open('chat.css', BRITISH)); // a page without a client
  wire.mend();
  await waitOnline(await desk.open('?user=alice', BRITISH));
  await shows(bob, [...lines('first', 2), ...lines('last', 2)]);
  await desk.close(CUT);
});
