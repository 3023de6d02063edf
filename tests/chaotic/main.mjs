/**
 * The command behind tests/chaos: rounds one after the other, their figures, and what is wrong.
 */

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ROUNDS, Round } from './round.mjs';
import { SABOTAGE } from './sabotage.mjs';

/** What is printed of each round and of all, in this order. */
const SHOWN = ['messages', 'accepted', 'refused', 'unknown', 'delivered', 'repeated', 'excused',
  'gaps', 'retries', 'connections', 'cuts', 'freezes', 'delayed', 'throttled', 'reordered',
  'stalls', 'kills', 'restarts', 'fills', 'jumps', 'crashes'];
const WRONG = ['losses', 'duplicates', 'disorder'];
const FINDINGS_SHOWN = 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    users: { type: 'string', default: '6' },
    rate: { type: 'string', default: '4' },
    sabotage: { type: 'string' },
  },
});
const environment = process.env;
const minutes = Number(positionals[0]);
const seed = values.seed ?? String(Math.floor(Math.random() * 1e9));
const logs = environment.CHAOS_LOGS;

/** Whether the server can keep data: not each build can. */
function canKeep() {
  const help = spawnSync(environment.SWITCHBOARD_BIN, ['serve', '--help'], { encoding: 'utf8' });
  return help.stdout.includes('--data ');
}

/** Which rounds in which order, and for how many seconds each. */
function plan() {
  const kinds = values.rounds?.split(',')
    ?? (canKeep() ? ['durable', 'forgetful', 'tiny'] : ['steady', 'forgetful', 'tiny']);
  for (const kind of kinds) {
    if (!ROUNDS[kind]) usage(`no round '${kind}': there are ${Object.keys(ROUNDS).join(', ')}`);
  }
  // The first has twice as much as the others; long runs have more rounds, not longer ones.
  const cycles = Math.max(1, Math.ceil(minutes / MINUTES_MAX));
  const share = (minutes * 60) / cycles / (kinds.length + 1);
  const cycle = kinds.map((kind, at) => ({ kind, seconds: at === 0 ? 2 * share : share }));
  return Array(cycles).fill(cycle).flat();
}

/** The length of a cycle at most: journals are kept in memory. */
const MINUTES_MAX = 8;

function usage(why) {
  console.error(`tests/chaos: ${why}`);
  process.exit(2);
}

function line(figures, names) {
  return names.filter((name) => figures[name]).map((name) => `${name} ${figures[name]}`).join(', ');
}

async function main() {
  if (!(minutes > 0)) usage('for how many minutes? (--help says more)');
  const sabotage = values.sabotage && SABOTAGE[values.sabotage];
  if (values.sabotage && !sabotage) usage(`--sabotage: one of ${Object.keys(SABOTAGE).join(', ')}`);
  const rounds = plan();
  const faketime = environment.CHAOS_FAKETIME || undefined;
  if (!faketime) console.log('no libfaketime here: clocks are left alone');
  console.log(`seed ${seed}: ${rounds.length} rounds, logs in ${logs}`);
  const total = {};
  let isGood = true;
  for (const [number, { kind, seconds }] of rounds.entries()) {
    const directory = path.join(logs, `${number + 1}-${kind}`);
    fs.mkdirSync(directory, { recursive: true });
    console.log(`round ${number + 1}, ${kind}, ${Math.round(seconds)} s: ${ROUNDS[kind].what}`);
    const round = new Round({
      kind, seconds, number, seed, directory, faketime, sabotage,
      only: values.only?.split(','),
      users: Number(values.users),
      rate: Number(values.rate),
      server: environment.SWITCHBOARD_BIN,
      client: environment.CHAOS_CLIENT,
      modules: environment.CHAOS_MODULES,
    });
    const { figures, findings } = await round.run();
    for (const [name, figure] of Object.entries(figures)) total[name] = (total[name] ?? 0) + figure;
    console.log(`  ${line(figures, SHOWN)}`);
    if (findings.length) {
      isGood = false;
      report(findings, directory);
    } else {
      fs.rmSync(directory, { recursive: true });
    }
  }
  const wrong = WRONG.map((name) => `${name} ${total[name]}`).join(', ');
  console.log(`all: ${line(total, SHOWN)}`);
  const verdict = isGood ? 'ok' : 'FAILED';
  console.log(`chaos ${verdict}: ${total.messages} messages, ${wrong}, seed ${seed}`);
  process.exit(isGood ? 0 : 1);
}

function report(findings, directory) {
  const all = findings.map(({ kind, text }) => `${kind}: ${text}\n`);
  fs.writeFileSync(path.join(directory, 'findings'), all.join(''));
  for (const text of all.slice(0, FINDINGS_SHOWN)) process.stdout.write(`  ${text}`);
  if (all.length > FINDINGS_SHOWN) console.log(`  … ${all.length} in all`);
  console.log(`  journals and logs: ${directory}; seed ${seed}`);
}

await main();
