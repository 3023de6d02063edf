/**
 * Journals: what a device was told, in the order in which it was, in files that outlive it.
 *
 *     {"t":81.2,"e":"life"}                                         a process begins
 *     {"t":83.0,"e":"welcome","epoch":"9f…","seq":0,"resumed":false}
 *     {"t":90.1,"e":"intent","k":1,"receiver":"u3"}                 about to be sent
 *     {"t":90.2,"e":"queued","k":1}                                 in the outbox, on disk
 *     {"t":95.7,"e":"ok","k":1}                                     or error
 *     {"t":95.9,"e":"msg","d":"u3-rust","k":8,"seq":58,"epoch":"9f…"}
 *     {"t":99.9,"e":"gap","after":57,"until":90,"reason":"overflow"}
 *
 * `t` is in milliseconds of the machine's monotonic clock, which all processes share. A line is
 * written by one call, so a process that is killed leaves at most a part of one line, at the end.
 */

import fs from 'node:fs';

export const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Appends events; what is written is there whatever becomes of the process. */
export class Journal {
  #file;

  constructor(path) { this.#file = fs.openSync(path, 'a'); }

  write(event) {
    const t = Math.round(now() * 1_000) / 1_000;
    fs.writeSync(this.#file, `${JSON.stringify({ t, ...event })}\n`);
  }

  close() { fs.closeSync(this.#file); }
}

/** Reads lines of a file that grows. */
export class Tail {
  #path;
  #at = 0;
  #rest = Buffer.alloc(0);

  constructor(path) { this.#path = path; }

  /** The lines that were completed since. */
  lines() {
    let file;
    try {
      file = fs.openSync(this.#path, 'r');
    } catch {
      return []; // not there yet
    }
    const parts = [this.#rest];
    try {
      for (;;) {
        const part = Buffer.allocUnsafe(1 << 16);
        const read = fs.readSync(file, part, 0, part.length, this.#at);
        if (!read) break;
        this.#at += read;
        parts.push(part.subarray(0, read));
      }
    } finally {
      fs.closeSync(file);
    }
    const bytes = Buffer.concat(parts);
    const end = bytes.lastIndexOf(10) + 1;
    this.#rest = bytes.subarray(end);
    return bytes.subarray(0, end).toString().split('\n').slice(0, -1);
  }
}

/** All events of a journal. */
export function readJournal(path) {
  return new Tail(path).lines().map((line) => JSON.parse(line));
}
