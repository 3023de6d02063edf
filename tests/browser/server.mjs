// The server under test, as its user starts it: a process, a printed address, a process id.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const BINARY = process.env.SWITCHBOARD_BIN
  || fileURLToPath(new URL('../../target/debug/switchboard', import.meta.url));
const START_TIMEOUT_MS = 20_000;

// No server outlives this process, however it ends; SIGKILL apart, which nobody can handle.
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const [name, number] of [['SIGINT', 2], ['SIGTERM', 15]]) {
  process.on(name, () => process.exit(128 + number));
}

// Starts `switchboard serve` on a free port, or on the one given; `more` are further arguments.
export async function startServer({ port = 0, more = [] } = {}) {
  const args = ['serve', '--listen', `127.0.0.1:${port}`, ...more];
  const child = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  const said = [];
  child.stderr.setEncoding('utf8').on('data', (text) => said.push(text));
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('exit', (code, signal) => {
      children.delete(child);
      resolve(`exit ${code ?? signal}`);
    });
  });
  const address = await new Promise((resolve, reject) => {
    const fail = (why) => {
      child.kill('SIGKILL');
      reject(new Error(`${BINARY} ${args.join(' ')}: ${why}\n${said.join('')}`));
    };
    const timer = setTimeout(() => fail('printed no address'), START_TIMEOUT_MS);
    ended.then((how) => { clearTimeout(timer); fail(how); });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /ws:\/\/127\.0\.0\.1:(\d+)/.exec(line);
      if (found) { clearTimeout(timer); resolve(Number(found[1])); }
    });
  });
  return {
    port: address,
    origin: `http://127.0.0.1:${address}`,
    webSocket: `ws://127.0.0.1:${address}`,
    // What it has logged so far.
    log: () => said.join(''),
    // Sends this signal to this process and no other.
    signal: (name) => child.kill(name),
    async stop(name = 'SIGKILL') {
      if (child.exitCode === null && child.signalCode === null) child.kill(name);
      return ended;
    },
  };
}
