/**
 * The Jobcast client for browsers: submit jobs, follow them, come back and miss nothing. Plain ES modules without
 * dependencies: import this one from a server, or copy it together with the folder jobcast/. docs/javascript.md shows
 * its use.
 *
 * A reader's only state is a position. Whatever cuts a connection, the next one asks for what comes after `seq`, and an
 * event at or before that position is dropped: each is handed over once, in order.
 */

import { JobcastError } from './jobcast/error.js';
import { ENDS, FollowedJob } from './jobcast/job.js';
import { backoff, Line } from './jobcast/line.js';

/** @typedef {import('./jobcast/types.js').Job} Job */
/** @typedef {import('./jobcast/types.js').JobEvent} JobEvent */
/** @typedef {import('./jobcast/types.js').Connection} Connection */

export { FollowedJob, JobcastError };

/** The server takes so many jobs in one connection; further ones wait until some have ended. */
const MAX_JOBS = 100;

/** One server. All jobs that are followed through one Jobcast share one connection, as browsers allow six an origin. */
export class Jobcast {
  /** @type {Set<FollowedJob>} */ #followed = new Set();
  /** @type {Line|null} */ #line = null;
  #lineIsDue = false;
  /** Where the shared connection is in all its jobs; the server's own secret, for several jobs only. */ #cursor = '';
  /** @type {Set<string>} */ #inCursor = new Set();
  #baseUrl;
  #withCredentials;
  #fetch;
  #EventSource;

  /** @param {{baseUrl?: string, withCredentials?: boolean, fetch?: typeof fetch,
   *   EventSource?: typeof EventSource}} [options]
   *  `baseUrl`: the page's own origin where absent. `withCredentials`: send cookies to another origin. */
  constructor(options = {}) {
    this.#baseUrl = (options.baseUrl ?? '').replace(/\/+$/, '');
    this.#withCredentials = options.withCredentials ?? false;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#EventSource = options.EventSource ?? globalThis.EventSource;
  }

  /** Submits a job. Where no answer comes it tries again by itself: the idempotency key makes that one job.
   * @param {string} kind @param {Record<string, any>} input
   * @param {import('./jobcast/types.js').SubmitOptions} [options] @returns {Promise<Job>} */
  submit(kind, input, { idempotencyKey = randomKey(), signal, ...rest } = {}) {
    const headers = { 'Idempotency-Key': idempotencyKey };
    return this.#call('POST', '/v1/jobs', { headers, signal, json: { kind, input, ...rest }, tries: 4 });
  }

  /** @param {string} id @returns {Promise<Job>} */
  get(id) {
    return this.#call('GET', path(id));
  }

  /** A page of jobs, newest first; `next` is the `cursor` of the page after it, or null.
   * @param {{status?: string, kind?: string, limit?: number, cursor?: string}} [filter]
   * @returns {Promise<{jobs: Job[], next: string|null}>} */
  list(filter = {}) {
    const given = Object.entries(filter).filter(([, value]) => value !== undefined && value !== '');
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    return this.#call('GET', query ? `/v1/jobs?${query}` : '/v1/jobs');
  }

  /** What can be submitted. @returns {Promise<import('./jobcast/types.js').Kind[]>} */
  async kinds() {
    return (await this.#call('GET', '/v1/kinds')).kinds;
  }

  /** Asks a job to stop; it keeps what it has produced. @param {string} id @returns {Promise<Job>} */
  cancel(id) {
    return this.#call('POST', `${path(id)}/cancel`);
  }

  /** A new job with the input of one that has ended. @param {string} id @returns {Promise<Job>} */
  retry(id) {
    return this.#call('POST', `${path(id)}/retry`);
  }

  /** Deletes a job that has ended. @param {string} id @returns {Promise<void>} */
  remove(id) {
    return this.#call('DELETE', path(id));
  }

  /** Uploads a file, whose `id` goes into a job's input. @param {File} file
   * @returns {Promise<import('./jobcast/types.js').Uploaded>} */
  upload(file) {
    return this.#call('POST', `/v1/files?name=${encodeURIComponent(file.name)}`, { file });
  }

  /** Trades an API key for a cookie that scripts cannot read. @param {string} key @returns {Promise<void>} */
  signIn(key) {
    return this.#call('POST', '/v1/session', { json: { key } });
  }

  /** @returns {Promise<void>} */
  signOut() {
    return this.#call('DELETE', '/v1/session');
  }

  /** Follows a job to its end, over any number of connections. `after` is the last `seq` that you have: 0 is from the
   * start, -1 from now on. @param {string} id @param {import('./jobcast/types.js').FollowOptions} [options] */
  follow(id, options = {}) {
    /** @type {FollowedJob} */
    const job = new FollowedJob(id, options, {
      close: () => this.#letGo(job),
      exactText: (after, upto, channel) => this.#exactText(id, { after, upto, channel }),
    });
    if ((options.after ?? 0) >= 0) this.#add(job);
    else
      this.get(id).then(
        (record) => this.#add(job, record.last_seq),
        (error) => job._fail(error),
      );
    return job;
  }

  /** State changes and progress of all jobs, without text and results; each event names its `job`. A `gap` means that
   * some were missed: ask for the list again. @param {(event: JobEvent) => void} onEvent
   * @param {import('./jobcast/types.js').ActivityOptions} [options] @returns {{close: () => void}} */
  activity(onEvent, { signal, onConnection, onError } = {}) {
    let times = 0;
    const line = new Line({
      connect: () => this.#source('/v1/activity'),
      onEvent,
      onConnection: (connection) => {
        onConnection?.(connection);
        // This stream has no positions: what happened between two connections only the list can tell.
        if (connection === 'live' && times++)
          onEvent({ type: 'gap', seq: 0, attempt: 0, at: new Date().toISOString() });
      },
      check: () =>
        this.list({ limit: 1 }).then(
          () => true,
          (error) => error.passing || void onError?.(error) || false,
        ),
    });
    signal?.addEventListener('abort', () => line.close());
    line.open();
    return { close: () => line.close() };
  }

  /** @param {FollowedJob} job @param {number} [seq] */
  #add(job, seq = job.seq) {
    if (job.done) return;
    job.seq = seq;
    // The cursor is past what this reader still wants.
    if (this.#inCursor.has(job.id)) this.#forgetCursor();
    this.#followed.add(job);
    this.#openSoon();
  }

  /** @param {FollowedJob} job */
  #letGo(job) {
    if (!this.#followed.delete(job)) return;
    // An ended job may stay in the connection's address, where it costs nothing.
    const costsNothing = ENDS.has(job.status ?? '') && this.#followed.size > 0 && this.#followed.size < MAX_JOBS;
    if (!costsNothing) this.#openSoon();
  }

  /** Opens the shared connection anew, once for all changes of this turn of the event loop. */
  #openSoon() {
    if (this.#lineIsDue) return;
    this.#lineIsDue = true;
    queueMicrotask(() => {
      this.#lineIsDue = false;
      if (this.#followed.size) return this.#open();
      this.#line?.close();
      this.#line = null;
    });
  }

  #open() {
    this.#line ??= new Line({
      connect: () => this.#source(this.#address()),
      onEvent: (event, id) => this.#deliver(event, id),
      onConnection: (connection) => {
        for (const job of [...this.#followed]) job._connection(connection);
      },
      check: (heard) => this.#check(heard),
    });
    this.#line.open();
  }

  #address() {
    const jobs = [...this.#followed];
    const ids = new Set(jobs.map((job) => job.id));
    if (ids.size === 1) {
      this.#forgetCursor();
      return `${path(jobs[0].id)}/events?after=${Math.min(...jobs.map((job) => job.seq))}`;
    }
    const query = [...ids].slice(0, MAX_JOBS).map((id) => `job=${encodeURIComponent(id)}`);
    if (this.#cursor) query.push(`last_event_id=${encodeURIComponent(this.#cursor)}`);
    return `/v1/events?${query.join('&')}`;
  }

  /** @param {string} address */
  #source(address) {
    return new this.#EventSource(this.#baseUrl + address, { withCredentials: this.#withCredentials });
  }

  #forgetCursor() {
    this.#cursor = '';
    this.#inCursor.clear();
  }

  /** @param {JobEvent} event @param {string} id */
  #deliver(event, id) {
    // On a connection of its own a job is not named by its events, only by a gap.
    if (event.job && event.type !== 'gap') {
      this.#cursor = id;
      this.#inCursor.add(event.job);
    }
    for (const job of [...this.#followed]) if (!event.job || event.job === job.id) job._take(event);
  }

  /** EventSource does not tell why it gave up, so ask for each job. @param {boolean} heard */
  async #check(heard) {
    const asked = [...this.#followed].map(async (job) => {
      try {
        const record = await this.get(job.id);
        // A log may be gone before its record: then the stream has nothing, and the record is all there is.
        if (ENDS.has(record.status) && (record.last_seq <= job.seq || !heard)) job._finish(record);
      } catch (error) {
        if (!(error instanceof JobcastError && error.passing)) job._fail(error);
      }
    });
    await Promise.all(asked);
    return this.#followed.size > 0;
  }

  /** @param {string} id @param {{after: number, upto: number, channel: string}} range */
  async #exactText(id, { after, upto, channel: wanted }) {
    let text = '';
    for (let page = { next: after, events: [], done: false }; page.next < upto && !page.done;) {
      page = await this.#call('GET', `${path(id)}/events?format=json&exact=1&after=${page.next}`, { tries: 4 });
      for (const { seq, type, channel = 'main', ...event } of /** @type {JobEvent[]} */ (page.events)) {
        if (seq <= upto && type === 'token' && channel === wanted) text += event.text;
      }
    }
    return text;
  }

  /** @param {string} method @param {string} address
   * @param {{headers?: Record<string, string>, json?: any, file?: File, signal?: AbortSignal, tries?: number}} [request]
   * @returns {Promise<any>} */
  async #call(method, address, { headers = {}, json, file, signal, tries = 1 } = {}) {
    const body = file ?? (json && JSON.stringify(json));
    const type = json && { 'Content-Type': 'application/json' };
    const credentials = this.#withCredentials ? 'include' : 'same-origin';
    for (let tried = 1; ; tried += 1) {
      const answer = await this.#fetch(this.#baseUrl + address, {
        method,
        credentials,
        headers: { ...headers, ...type },
        body,
        signal,
      }).then(read, (error) =>
        signal?.aborted ? Promise.reject(error) : new JobcastError(0, 'unreachable', 'The server cannot be reached.'),
      );
      if (!(answer instanceof JobcastError)) return answer;
      if (!answer.passing || tried >= tries) throw answer;
      await new Promise((resolve) => {
        setTimeout(resolve, Math.max(backoff(tried), answer.retryAfterMs));
      });
    }
  }
}

/** What the server answered, or its refusal. @param {Response} response */
async function read(response) {
  if (response.status === 204) return undefined;
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const detail = body.detail ?? body.title ?? `The server answered ${response.status}.`;
  return new JobcastError(
    response.status,
    body.code ?? '',
    detail,
    body.errors,
    Number(response.headers.get('Retry-After')) * 1000,
  );
}

/** @param {string} id */
function path(id) {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}

/** 128 random bits. `crypto.randomUUID` is missing on plain HTTP. */
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
