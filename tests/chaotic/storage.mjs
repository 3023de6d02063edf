/**
 * Storage in a file for the JavaScript client, as a program in Node that restarts would give it:
 * three methods that have done their work when they return.
 *
 *     ["switchboard:ws://…:u0:0:4","c8f3:16 {…}"]        set
 *     ["switchboard:ws://…:u0:0:4"]                      removed
 *
 * Each change is one line, written by one call. A process killed in the midst of it leaves a part
 * of a line, which the next one ignores: the change was not made.
 */

import fs from 'node:fs';

export function fileStorage(path) {
  const map = new Map();
  const text = fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : '';
  for (const line of text.split('\n').slice(0, -1)) {
    const [key, value] = JSON.parse(line);
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }
  // Written anew at each start, so that it does not grow for ever.
  const fresh = `${path}.new`;
  fs.writeFileSync(fresh, [...map].map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  fs.renameSync(fresh, path);
  const file = fs.openSync(path, 'a');
  const append = (change) => fs.writeSync(file, `${JSON.stringify(change)}\n`);
  return {
    getItem: (key) => map.get(key) ?? null,
    setItem(key, value) {
      append([key, value]);
      map.set(key, value);
    },
    removeItem(key) {
      append([key]);
      map.delete(key);
    },
  };
}
