// The JavaScript client in real windows: offline, reloaded, duplicated, asleep. What a window shows
// is what counts: every message once, in order.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startServer } from './server.mjs';
import { Desk, launchBrowser } from './windows.mjs';

let browser;
let server;
let desk;
before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), startServer()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** In the window: shows what it hears, and keeps that over reloads as long as the window lives. */
function boot(user) {
  sessionStorage.setItem('user', user);
  const kept = JSON.parse(sessionStorage.getItem('heard') ?? '[]');
  const list = document.createElement('ol');
  list.id = 'heard';
  const show = (text) => {
    list.append(document.createElement('li'));
    list.lastChild.append(text);
  };
  kept.forEach(show);
  document.body.append(list);
  return import('/switchboard.js').then(({ connect }) => {
    window.chat = connect('/', { user });
    window.chat.on('message', ({ content }) => {
      kept.push(content);
      sessionStorage.setItem('heard', JSON.stringify(kept));
      show(content);
    });
  });
}

/** A window of this person; `options` tells browsers apart. */
async function open(user, options) {
  const page = await desk.open('', options);
  await page.evaluate(boot, user);
  return page;
}

const online = (page) => page.waitForFunction(() => window.chat?.state === 'open');
const send = (page, to, texts) => page.evaluate(([receiver, list]) => {
  for (const content of list) window.chat.send({ receiver, content });
}, [to, texts]);
const sentAll = (page) => page.waitForFunction(() => window.chat.pending.length === 0);
const pending = (page) => page.evaluate(() => window.chat.pending.length);
const shown = (page) => page.locator('#heard li').allTextContents();

/** Waits until that is shown, and then that nothing more comes. */
async function shows(page, texts) {
  await page.waitForFunction((count) => document.querySelectorAll('#heard li').length >= count,
    texts.length);
  await page.waitForTimeout(300);
  assert.deepEqual(await shown(page), texts);
}

const lines = (name, count) => Array.from({ length: count }, (_, n) => `${name} ${n + 1}`);

test('what was written offline is sent when the network is back', async () => {
  desk = new Desk(browser, server);
  const alice = await open('alice', { locale: 'en-GB' });
  const bob = await open('bob');
  await Promise.all([online(alice), online(bob)]);
  await alice.context().setOffline(true);
  await alice.evaluate(() => { window.chat.close(); });
  await alice.evaluate(boot, 'alice');
  await send(alice, 'bob', lines('offline', 5));
  await alice.waitForFunction(() => window.chat.state === 'waiting');
  assert.equal(await pending(alice), 5);
  await alice.context().setOffline(false);
  await shows(bob, lines('offline', 5));
  await sentAll(alice);
  await desk.close(/ERR_INTERNET_DISCONNECTED|WebSocket connection/);
});

test('a reload in the midst of sending and receiving', async () => {
  desk = new Desk(browser, server);
  const carol = await open('carol', { locale: 'en-GB' });
  const dave = await open('dave');
  await Promise.all([online(carol), online(dave)]);
  await send(carol, 'dave', lines('before', 300));
  await Promise.all([carol.reload(), dave.reload()]);
  await Promise.all([carol.evaluate(boot, 'carol'), dave.evaluate(boot, 'dave')]);
  await send(carol, 'dave', lines('after', 20));
  await shows(dave, [...lines('before', 300), ...lines('after', 20)]);
  await sentAll(carol);
  await desk.close();
});

test('two windows with one storage, one of them a copy of the other', async () => {
  desk = new Desk(browser, server);
  const first = await open('erin', { locale: 'en-GB' });
  await online(first);
  const session = await first.evaluate(() => JSON.stringify(sessionStorage));
  const second = await desk.open('', { locale: 'en-GB' });
  await second.evaluate((text) => Object.assign(sessionStorage, JSON.parse(text)), session);
  await second.evaluate(boot, 'erin');
  const frank = await open('frank');
  await Promise.all([online(second), online(frank)]);
  const names = await Promise.all([first, second].map((page) =>
    page.evaluate(() => window.chat.client)));
  assert.notEqual(names[0], names[1]);
  await Promise.all([send(first, 'frank', lines('first', 50)),
    send(second, 'frank', lines('second', 50))]);
  await frank.waitForFunction(() => document.querySelectorAll('#heard li').length >= 100);
  const heard = await shown(frank);
  assert.equal(heard.length, 100);
  for (const name of ['first', 'second']) {
    assert.deepEqual(heard.filter((text) => text.startsWith(name)), lines(name, 50));
  }
  await send(frank, 'erin', ['to both']);
  for (const page of [first, second]) {
    await page.locator('#heard li', { hasText: 'to both' }).waitFor();
    assert.equal((await shown(page)).filter((text) => text === 'to both').length, 1);
  }
  await desk.close();
});

test('a phone that sleeps, and whose network is gone when it wakes', async () => {
  desk = new Desk(browser, server);
  const gina = await open('gina', { locale: 'en-GB' });
  const hugo = await open('hugo');
  await Promise.all([online(gina), online(hugo)]);
  const phone = await gina.context().newCDPSession(gina);
  await phone.send('Page.setWebLifecycleState', { state: 'frozen' });
  await send(hugo, 'gina', lines('asleep', 30));
  await sentAll(hugo);
  await gina.context().setOffline(true);
  await phone.send('Page.setWebLifecycleState', { state: 'active' });
  await send(hugo, 'gina', lines('offline', 5));
  await gina.context().setOffline(false);
  await shows(gina, [...lines('asleep', 30), ...lines('offline', 5)]);
  await desk.close(/ERR_INTERNET_DISCONNECTED|WebSocket connection/);
});
