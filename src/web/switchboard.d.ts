/** Types of the client of Switchboard; what everything is for is said here. */

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Three methods of the Web's `Storage`: `localStorage` is one of these. They may throw. */
export interface KeyValueStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** As much of the Web's `LockManager` as is used. */
export interface Locks {
  request(
    name: string,
    options: { ifAvailable?: boolean; signal?: AbortSignal },
    hold: (lock: unknown) => unknown,
  ): Promise<unknown>;
}

export interface Options {
  /**
   * Who one is. Without a name one is a guest, and nothing is kept. Where the server has `--auth`
   * it has to be whom the token says.
   */
  user?: string;
  /**
   * The credential, or a function that fetches one. It is called before the first connection, and
   * again when the server has refused the token (4401): once, then the state is `refused`.
   */
  token?: string | (() => string | Promise<string>);
  /**
   * A name for this client among those of its user: 1 to 32 of `A-Za-z0-9_-`. Without one it draws
   * its own, which is what pages want. With storage that lasts it is used as it is.
   */
  client?: string;
  /**
   * Where outbox and position are kept. In a page `localStorage`, shared among tabs by Web Locks
   * (over plain HTTP, where there are none, `sessionStorage`); elsewhere memory. A storage that is
   * given is used by one client at a time, unless there are `locks`.
   */
  storage?: KeyValueStorage;
  /** Groups to be a member of. What was joined stays joined over reloads, until `leave`. */
  groups?: string[];
  /** Whether the very first connection begins now, and not with what is kept for the user. */
  live?: boolean;
  /** The constructor of WebSockets, where there is no global one (Node before 22). */
  WebSocket?: new (url: string, protocols: string[]) => unknown;
  /** Instead of `navigator.locks`. */
  locks?: Locks | null;
  /** Instead of `sessionStorage`: where a tab remembers over reloads which client it is. */
  tab?: KeyValueStorage;
}

interface MessageOptions {
  /** Any JSON value. */
  content: unknown;
  /** To this client as well. */
  echo?: boolean;
  /** Only to who is online, and without the log: 0. */
  ttl?: 0;
  /** With a `receipt` event when the receiver has it. To a user only. */
  receipt?: boolean;
  /** Who it is from, for who may speak as others. */
  sender?: string;
  /** The page's own; kept with the message, given back in results and `pending`, never sent. */
  ref?: unknown;
}

/** A message to a user, or to the members of a group (`*`: to everyone). */
export type Outgoing = MessageOptions &
  ({ receiver: string; group?: undefined } | { group: string; receiver?: undefined });

/** How a frame fared. */
export interface Accepted {
  /** Its name at the receivers and in receipts: client and number. */
  mid: string;
  /** To how many connections it went at once, if one may know. */
  online?: number;
  /** False if it went only to who was online. */
  logged?: boolean;
  /** It had been accepted before; the answer was lost. */
  dup?: boolean;
  /** What it was sent with. */
  ref?: unknown;
}

export interface Message {
  sender: string;
  receiver?: string;
  group?: string;
  content: any;
  /** Its place in the server's order; together with `epoch` it is its name. Not for `ttl: 0`. */
  seq?: number;
  /** The sender's client and number, if it was sent with one. */
  mid?: string;
  epoch?: string;
}

/** Messages for you may be missing: those with `after` < seq <= `until`, or `dropped` live ones. */
export type Gap =
  | { after: number; until: number; reason: 'overflow' | 'epoch' | 'ahead'; dropped?: undefined }
  | { dropped: number; after?: undefined; until?: undefined; reason?: undefined };

export type State = 'connecting' | 'open' | 'waiting' | 'closed' | 'refused';

export interface StateEvent {
  state: State;
  /** Who one is, when `open`. */
  user?: string;
  /** The close code, when `waiting` or `refused`. 1006: no answer. */
  code?: number;
  /** What the server said to it. */
  reason?: string;
  /** When `waiting`: how many milliseconds until it tries again. */
  after?: number;
}

export interface Events {
  /**
   * A message for this user. If the handler returns a promise, the next message waits for it; the
   * position goes on when all handlers are done. Until somebody listens, nothing is received.
   *
   * Each comes once while the `epoch` lasts. After a new one (a server that was restored from a
   * copy, or crashed with `--durability interval`) what the server has kept comes again, but for
   * the last 1,024 messages that were handled, of which the last 64 are known after a reload.
   */
  message: Message;
  gap: Gap;
  state: StateEvent;
  /** Who came and went, in groups joined with `presence`. */
  presence: { group: string; joined: string[]; left: string[]; members?: number };
  /** The receiver's first device has it: a hint, at most once. */
  receipt: { mid: string; user: string };
  /** What no promise tells: a handler threw, storage failed, the server complained. */
  error: Error;
  /** How a message fared, also one of an earlier page or of a tab that was closed. */
  settled: { message: Outgoing; result?: Accepted; error?: SwitchboardError };
}

export class SwitchboardError extends Error {
  /** As the server names it, or `storage`, `message_too_large`, `outbox_full`, `replaced`,
   * `refused`, `closed`. */
  readonly reason: string;
  /** The server's code, in the manner of HTTP's; 0 where it is none of the server's. */
  readonly code: number;
  /** Whether it arrived is unknown, and nothing will tell. */
  readonly uncertain: boolean;
  /** It is still in storage, and goes with the next connection of this user. */
  readonly kept: boolean;
  readonly ref?: unknown;
  /** With `message_too_large`: how many bytes a frame may have. */
  readonly max?: number;
  /** With `forbidden`: the permission that was missing. */
  readonly missing?: string;
}

export interface Switchboard {
  readonly state: State;
  readonly user: string | undefined;
  /** What this client is called; undefined for a moment after `connect`. */
  readonly client: string | undefined;
  /** What is not settled yet, the oldest first, what an earlier page left included. */
  readonly pending: Outgoing[];
  /**
   * Sends a message, now or when there is a connection. Settles when the server has decided;
   * rejects with a `SwitchboardError`, or a `TypeError` for what is no JSON. Nobody has to wait
   * for it: `settled` tells the same.
   */
  send(message: Outgoing): Promise<Accepted>;
  /** With `presence`, `presence` events tell who comes and goes. */
  join(group: string, options?: { presence?: boolean }): Promise<Accepted>;
  leave(group: string): Promise<Accepted>;
  /** Calls `handler` for each event of this type; what is returned ends that. */
  on<Type extends keyof Events>(
    type: Type,
    handler: (event: Events[Type]) => unknown,
  ): () => void;
  /** Ends the connection. What is not settled is rejected; in storage it stays for the next. */
  close(): void;
}

/**
 * Connects, and stays connected until `close()`.
 *
 * @param url `wss://host/`; on a page a path such as `/` will do
 * @throws TypeError where there is no WebSocket, or for a bad URL
 */
export function connect(url: string, options?: Options): Switchboard;

/** Storage that ends with the page or process. */
export function memoryStorage(): KeyValueStorage;
