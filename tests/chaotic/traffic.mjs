/**
 * What the devices say to one another, and whom it is for.
 *
 *     u0-js (device of u0)  --{"d":"u0-js","k":17,"p":"…"}-->  u3-js, u3-rust, u0-rust (a copy)
 *
 * A message is named by the device that sent it and its number there, which has nothing to do with
 * the ids and seqs of the dialect. Its padding follows from its name, so that whoever receives it
 * can tell whether it is whole.
 */

import { Random } from './random.mjs';

export const GROUP = 'room';
/** A group in which nobody is, and a user who never comes. */
const CLOSED = 'closed';
const NOBODY = 'nobody';

const WEIGHTS = { direct: 60, group: 20, live: 7, self: 4, groupLive: 3, nobody: 3, closed: 3 };
const LETTERS = ['a', '"', '\\', '\n', 'é', '漢', '😀', '\u0001', '{', 'content'];

/** The padding of a message: mostly short, at times some ten thousand bytes. */
export function padding(device, k) {
  const random = new Random(`${device} ${k}`);
  const length = random.chance(0.01) ? random.between(5_000, 20_000) : random.between(0, 200);
  return random.pick(LETTERS).repeat(Math.floor(length / 4));
}

export const contentOf = (device, k) => ({ d: device, k, p: padding(device, k) });

export function isWhole({ d, k, p }) { return p === padding(d, k); }

/** The next frame of a device, as `send` takes it. */
export function nextFrame(random, device, k, users) {
  const content = contentOf(device, k);
  const frame = { content };
  const kind = random.weighted(WEIGHTS);
  if (kind === 'direct' || kind === 'live') frame.receiver = random.pick(users);
  if (kind === 'self') frame.receiver = device.split('-')[0];
  if (kind === 'group' || kind === 'groupLive') frame.group = GROUP;
  if (kind === 'nobody') frame.receiver = NOBODY;
  if (kind === 'closed') frame.group = CLOSED;
  if (kind === 'live' || kind === 'groupLive') frame.ttl = 0;
  if (random.chance(0.05)) frame.echo = true;
  if (frame.receiver && random.chance(0.1)) frame.receipt = true;
  return frame;
}

/** What a journal says of a frame before it is sent. */
export function intentOf({ content, receiver, group, ttl, echo }) {
  return { e: 'intent', k: content.k, receiver, group, ttl, echo };
}

/** The devices that are to get it: all of the receivers', and the sender's others. */
export function audience(intent, sender, devices) {
  return devices.filter((device) => {
    if (device.name === sender.name) return intent.echo === true;
    if (device.user === sender.user) return true;
    return intent.group === GROUP || intent.receiver === device.user;
  });
}

/** Milliseconds until the next sending, and how many messages that is. */
export function nextSending(random, rate) {
  // Mostly one by one; at times more at once than may be unanswered.
  const count = random.chance(0.02) ? 20 + random.below(80) : 1;
  const wait = (-Math.log(1 - random.float()) * 1_000 * (count === 1 ? 1 : 10)) / rate;
  return { count, wait };
}
