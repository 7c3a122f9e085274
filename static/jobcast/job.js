/** A job that is being followed. */

import { JobcastError } from './error.js';
import { Texts } from './texts.js';

/** @typedef {import('./types.js').Connection} Connection */
/** @typedef {import('./types.js').FollowOptions} FollowOptions */
/** @typedef {import('./types.js').Job} Job */
/** @typedef {import('./types.js').JobEvent} JobEvent */
/** What the job needs of its client: to be let go of, and the unjoined text of a channel between two positions.
 * @typedef {{close: () => void,
 *   exactText: (after: number, upto: number, channel: string) => Promise<string>}} Client */

export const ENDS = new Set(['succeeded', 'failed', 'cancelled']);
const NO_STATE = new Set(['token', 'log', 'artifact', 'gap']);

/** What is known of a job, kept up to date; and its events: `for await (const event of job)`. */
export class FollowedJob {
  /** Everything up to this position has been handed over. */ seq;
  /** @type {import('./types.js').Status|null} */ status = null;
  attempt = 0;
  /** @type {import('./types.js').Progress|null} */ progress = null;
  /** @type {any} */ result = null;
  /** @type {import('./types.js').Failure|null} */ error = null;
  /** @type {Connection} */ connection = 'connecting';
  /** False once something is known to be missing: the page was away for longer than the log is kept. */
  complete = true;
  /** No more events will come: the job ended, cannot be followed, or was let go of. */
  done = false;
  /** The job's last event. Rejects with a JobcastError where the job cannot be followed, with an AbortError where it
   * was let go of before. @type {Promise<JobEvent>} */ ended;

  #texts = new Texts();
  /** @type {Set<(event: JobEvent|null, error?: Error) => void>} */ #readers = new Set();
  /** @type {(event: JobEvent) => void} */ #resolve = () => {};
  /** @type {(reason: unknown) => void} */ #reject = () => {};
  #options;
  #client;

  /** @param {string} id @param {FollowOptions} options @param {Client} client */
  constructor(id, options, client) {
    this.id = id;
    this.seq = Math.max(0, options.after ?? 0);
    this.#options = options;
    this.#client = client;
    this.ended = new Promise((resolve, reject) => {
      [this.#resolve, this.#reject] = [resolve, reject];
    });
    // A page need not look at `ended`: its rejection then is no error of the page.
    this.ended.catch(() => {});
    options.signal?.addEventListener('abort', () => this.close());
    if (options.signal?.aborted) queueMicrotask(() => this.close());
  }

  /** All text of the channel "main" so far. */
  get text() {
    return this.textOf('main');
  }

  /** @param {string} channel */
  textOf(channel) {
    return this.#texts.of(channel);
  }

  /** The channels that have text. */
  get channels() {
    return this.#texts.channels;
  }

  /** Lets go of the job. The job itself goes on: that is `cancel`'s business. */
  close() {
    this.#over(null, new DOMException('The job was let go of.', 'AbortError'));
  }

  /** Events from now on; leaving the loop lets go of the job. Throws where the job cannot be followed.
   * @returns {AsyncGenerator<JobEvent, void, void>} */
  [Symbol.asyncIterator]() {
    /** @type {[JobEvent|null, Error|undefined][]} */ const waiting = this.done ? [[null, undefined]] : [];
    let wake = () => {};
    this.#readers.add((event, error) => {
      waiting.push([event, error]);
      wake();
    });
    return this.#read(
      waiting,
      () =>
        new Promise((resolve) => {
          wake = () => resolve(undefined);
        }),
    );
  }

  /** @param {[JobEvent|null, Error|undefined][]} waiting @param {() => Promise<void>} more
   *  @returns {AsyncGenerator<JobEvent, void, void>} */
  async *#read(waiting, more) {
    try {
      for (;;) {
        if (waiting.length === 0) await more();
        for (const [event, error] of waiting.splice(0)) {
          if (error) throw error;
          if (!event) return;
          yield event;
        }
      }
    } finally {
      this.close();
    }
  }

  /** @internal An event, old ones too: what is at or before the position is dropped. @param {JobEvent} event */
  _take(event) {
    const from = this.seq;
    const isGap = event.type === 'gap';
    if (this.done || (!isGap && event.seq <= from)) return;
    this.seq = isGap ? Math.max(from, event.lost_to ?? 0) : event.seq;
    if (isGap) this.complete = false;
    if (event.type === 'token') this.#append(event, from);
    if (event.type === 'started') this.#rollBack(event.rollback_to ?? 0);
    this.#note(event);
    this.#hand(event);
    if (ENDS.has(event.type)) this.#over(event);
  }

  /** @internal The record of a job that has ended, where its log has nothing more to say. @param {Job} job */
  _finish(job) {
    const gap = { type: 'gap', job: job.id, lost_from: this.seq + 1, lost_to: job.last_seq };
    if (job.last_seq > this.seq) this._take(/** @type {JobEvent} */ (gap));
    const { status, attempt, progress, result, error } = job;
    Object.assign(this, { status, attempt, progress, result, error });
    this.#tell(this.#options.onState, this);
    this.#over({
      type: status,
      seq: job.last_seq,
      attempt,
      at: job.finished_at ?? '',
      result,
      error: error ?? undefined,
    });
  }

  /** @internal @param {unknown} error Why the job cannot be followed. */
  _fail(error) {
    const known = error instanceof JobcastError ? error : new JobcastError(0, 'unreachable', String(error));
    this.#tell(this.#options.onError, known);
    this.#over(null, known);
  }

  /** @internal @param {Connection} connection */
  _connection(connection) {
    if (connection === this.connection) return;
    this.connection = connection;
    this.#tell(this.#options.onConnection, connection);
  }

  /** @param {JobEvent} event */
  #note(event) {
    this.attempt = event.attempt ?? this.attempt;
    if (event.type === 'progress') this.progress = { ...event, fraction: event.fraction ?? null };
    if (event.type === 'started') Object.assign(this, { status: 'running', error: null });
    if (event.type === 'queued' || event.type === 'retrying' || ENDS.has(event.type))
      Object.assign(this, { status: event.type });
    this.error = event.error ?? this.error;
    this.result = event.result ?? this.result;
  }

  /** @param {JobEvent} event */
  #hand(event) {
    this.#tell(this.#options.onEvent, event);
    for (const reader of this.#readers) reader(event);
    if (!NO_STATE.has(event.type)) this.#tell(this.#options.onState, this);
  }

  /** @param {JobEvent} event @param {number} from */
  #append({ text = '', channel = 'main', seq }, from) {
    this.#texts.append(channel, { from, seq, text });
    this.#tell(this.#options.onText, text, { channel, seq, replaced: false });
  }

  /** @param {number} to */
  #rollBack(to) {
    for (const { channel, cut } of this.#texts.rollBack(to)) {
      this.#replaced(channel);
      if (!cut) continue;
      this.#client.exactText(cut.from, to, channel).then(
        (text) => {
          if (this.#texts.fill(channel, cut, text)) this.#replaced(channel);
        },
        () => {
          this.complete = false;
        },
      );
    }
  }

  /** @param {string} channel */
  #replaced(channel) {
    this.#tell(this.#options.onText, this.textOf(channel), { channel, seq: this.seq, replaced: true });
  }

  /** @param {JobEvent|null} event @param {Error} [error] */
  #over(event, error) {
    if (this.done) return;
    this.done = true;
    if (event) this.#resolve(event);
    else this.#reject(error);
    for (const reader of this.#readers) reader(null, error instanceof JobcastError ? error : undefined);
    this.#client.close();
    this._connection('closed');
  }

  /** Calls back; a callback that throws is reported as the page's error and stops nothing here.
   * @template {any[]} A @param {((...args: A) => void)|undefined} callback @param {A} args */
  #tell(callback, ...args) {
    try {
      callback?.(...args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
