// Browser windows on the chat page, and what a person does with them.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

// `tests/browser/run` installs beneath target/, so that the sources stay as they are in the clone.
const modules = process.env.BROWSER_MODULES
  || new URL('../../target/browser/', import.meta.url);
const { chromium } = createRequire(modules)('playwright-core');

const SCREENSHOTS = process.env.SCREENSHOTS;
const WAIT_MS = 30_000;

export function launchBrowser() {
  return chromium.launch({ // each launch with a user data directory of its own
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

// One person's browser: windows opened from it share cookies and storage, as real ones do.
export class Desk {
  constructor(browser, server) {
    this.browser = browser;
    this.server = server;
    this.complaints = [];
    this.strayRequests = [];
    this.contexts = new Map();
  }

  async context(options) {
    const key = JSON.stringify(options);
    if (!this.contexts.has(key)) {
      const context = await this.browser.newContext({
        viewport: { width: 1180, height: 760 }, locale: 'en-US', ...options,
      });
      context.setDefaultTimeout(WAIT_MS);
      const { host } = new URL(this.server.origin);
      context.on('request', (request) => this.judge(request.url(), host));
      context.on('page', (page) => {
        page.on('websocket', (socket) => {
          this.judge(socket.url(), host);
          watchJoins(page, socket);
        });
        page.on('pageerror', (error) => this.complaints.push(`uncaught: ${error}`));
        page.on('dialog', (dialog) => {
          this.complaints.push(`dialog: ${dialog.message()}`);
          dialog.dismiss();
        });
        page.on('console', (message) => {
          if (['error', 'warning'].includes(message.type())) this.complaints.push(message.text());
        });
      });
      this.contexts.set(key, context);
    }
    return this.contexts.get(key);
  }

  judge(url, host) {
    if (!url.startsWith('data:') && new URL(url).host !== host) this.strayRequests.push(url);
  }

  // Opens `/` followed by `rest`, such as `?user=alice#lobby`.
  async open(rest, options = {}) {
    const page = await (await this.context(options)).newPage();
    await page.goto(`${this.server.origin}/${rest}`);
    return page;
  }

  async openAs(name, rest = '', options = {}) {
    const page = await this.open(`?user=${encodeURIComponent(name)}${rest}`, options);
    await waitOnline(page);
    await eventually('the server has joined its groups', () => isMember(page));
    return page;
  }

  // Closes the windows; what they complained of, but for what `expected` matches, is a failure.
  async close(expected = /$^/) {
    await Promise.all([...this.contexts.values()].map((context) => context.close()));
    assert.deepEqual(this.complaints.filter((text) => !expected.test(text)), []);
    assert.deepEqual(this.strayRequests, [], 'the page asks nobody but its server');
  }
}

// What a window on the chat page has asked to join, and whether all of that is answered: online it
// is not yet a member, and what another window says may be read before its join.
const sessions = new WeakMap();

function watchJoins(page, socket) {
  const session = { asked: new Set(), isJoined: false };
  socket.on('framesent', ({ payload }) => {
    const { type, id, group } = frame(payload);
    if (type === 'hello') sessions.set(page, session);
    if (type === 'join') session.asked.add(id ?? group);
  });
  socket.on('framereceived', ({ payload }) => {
    const { type, id, group, resumed } = frame(payload);
    if (type === 'welcome') session.isJoined = resumed;
    else if (session.asked.delete(id ?? group)) session.isJoined = true;
  });
}

function isMember(page) {
  const session = sessions.get(page);
  return session?.isJoined && session.asked.size === 0;
}

function frame(payload) {
  try { return JSON.parse(payload) ?? {}; } catch { return {}; }
}

// Waits for what cannot be seen in one window.
export async function eventually(what, holds) {
  for (const until = Date.now() + WAIT_MS; !await holds();) {
    assert.ok(Date.now() < until, `waited in vain: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

export const waitOnline = (page) => waitState(page, 'online');

export async function waitState(page, ...states) {
  const any = states.map((state) => `#pill[data-state=${state}]`).join();
  await page.locator(any).waitFor({ timeout: WAIT_MS });
}

// Addresses `to`, or, if it is empty, the group on the screen, and sends `text`.
export async function say(page, to, text) {
  await page.fill('#to', to);
  await page.press('#to', 'Enter');
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

// Opens the conversation with this name from the list.
export async function look(page, name) {
  await page.locator('.conv').filter({ has: page.locator('.name', { hasText: name }) }).click();
}

// The texts of the conversation that is open.
export const texts = (page) => page.locator('#log .text').allTextContents();

export async function waitText(page, text) {
  await page.locator('#log .text', { hasText: text }).first().waitFor();
}

// Everything a window has ever shown, in all its conversations.
export async function everything(page) {
  const all = [];
  for (const conversation of await page.locator('.conv').all()) {
    await conversation.click();
    all.push(await page.locator('#log').innerText());
  }
  return all.join('\n');
}

// A bare WebSocket without page, opened from a window: a guest, a tutorial's client, a bad one.
export async function bareSocket(page, url) {
  const handle = await page.evaluateHandle((address) => new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    socket.heard = [];
    socket.onmessage = (event) => socket.heard.push(event.data);
    socket.onopen = () => resolve(socket);
    socket.onerror = () => reject(new Error(`no connection to ${address}`));
  }), url);
  return {
    send: (data) => handle.evaluate((socket, text) => socket.send(text), data),
    // `before`, a number, `after`: so many times.
    sendMany: (count, before, after) => handle.evaluate((socket, [n, head, tail]) => {
      for (let i = 1; i <= n; i += 1) socket.send(`${head}${i}${tail}`);
    }, [count, before, after]),
    // Waits for a message with `part` in it.
    heard: async (part) => {
      const found = await page.waitForFunction(([socket, words]) =>
        socket.heard.find((text) => text.includes(words)), [handle, part]);
      return found.jsonValue();
    },
  };
}

// With SCREENSHOTS=directory, what a person should look at is kept there.
export async function screenshot(page, name) {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
