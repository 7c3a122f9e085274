/** A connection that comes back: also where the browser gave up, where the machine slept, and from the page cache. */

/** @typedef {import('./types.js').Connection} Connection */
/** @typedef {import('./types.js').JobEvent} JobEvent */

const TYPES = [
  'queued',
  'started',
  'token',
  'progress',
  'log',
  'artifact',
  'retrying',
  'succeeded',
  'failed',
  'cancelled',
  'gap',
  'overloaded',
];
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 20_000;
const TICK_MS = 5_000;
/** Chromium lets a hidden page's timers run once a minute: a longer gap than that means that the machine slept. */
const SLEPT_MS = 75_000;
/** A line that was silent for this long is not trusted when somebody looks at the page again. */
const SILENT_MS = 30_000;
const OPEN = 1;
const CLOSED = 2;

export class Line {
  /** @type {EventSource|null} */ #source = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  /** @type {AbortController|null} */ #waking = null;
  #failures = 0;
  #heard = false;
  #heardAt = 0;
  #parts;

  /** @param {{connect: () => EventSource, onEvent: (event: JobEvent, id: string) => void,
   *   onConnection: (connection: Connection) => void, check: (heard: boolean) => Promise<boolean>}} parts
   *  `check` is asked when the browser gave up, and says whether to go on; `heard`: the last connection had events. */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Opens a connection in place of the one that there is. */
  open() {
    this.#drop();
    this.#waking ??= watchForWaking((slept) => this.#wake(slept));
    [this.#heard, this.#heardAt] = [false, Date.now()];
    const source = this.#parts.connect();
    this.#source = source;
    source.onopen = () => this.#parts.onConnection('live');
    source.onerror = () => (source.readyState === CLOSED ? this.#gaveUp(source) : this.#waiting());
    for (const type of TYPES) source.addEventListener(type, (event) => this.#hear(source, event));
  }

  close() {
    this.#drop();
    this.#waking?.abort();
    this.#waking = null;
  }

  /** @param {EventSource} source @param {MessageEvent} message */
  #hear(source, message) {
    if (source !== this.#source) return;
    this.#heardAt = Date.now();
    // The server has too many readers. It said when to come back, and the browser does that by itself.
    if (message.type === 'overloaded') return this.#parts.onConnection('overloaded');
    [this.#heard, this.#failures] = [true, 0];
    this.#parts.onEvent(JSON.parse(message.data), message.lastEventId);
  }

  /** @param {EventSource} source */
  async #gaveUp(source) {
    this.#waiting();
    const goOn = await this.#parts.check(this.#heard);
    if (source !== this.#source) return;
    if (!goOn) return this.close();
    this.#failures += 1;
    this.#timer = setTimeout(() => this.open(), backoff(this.#failures));
  }

  #waiting() {
    this.#parts.onConnection(globalThis.navigator?.onLine === false ? 'offline' : 'reconnecting');
  }

  /** @param {boolean} slept */
  #wake(slept) {
    const silent = Date.now() - this.#heardAt > SILENT_MS;
    if (!slept && !silent && this.#source?.readyState === OPEN) return;
    this.#failures = 0;
    this.open();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}

/** Milliseconds to wait after so many failures: doubled each time, with jitter, so that many pages don't come back as
 * one. @param {number} failures */
export function backoff(failures) {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/** Calls back when the page is looked at again (false), and after the machine was asleep or offline (true).
 * @param {(slept: boolean) => void} onWake */
function watchForWaking(onWake) {
  const controller = new AbortController();
  const { signal } = controller;
  let last = Date.now();
  const timer = setInterval(() => {
    const slept = Date.now() - last > SLEPT_MS;
    last = Date.now();
    if (slept) onWake(true);
  }, TICK_MS);
  signal.addEventListener('abort', () => clearInterval(timer));
  globalThis.addEventListener?.('online', () => onWake(true), { signal });
  globalThis.addEventListener?.(
    'pageshow',
    (event) => {
      if (event.persisted) onWake(true);
    },
    { signal },
  );
  globalThis.document?.addEventListener(
    'visibilitychange',
    () => {
      if (!document.hidden) onWake(false);
    },
    { signal },
  );
  return controller;
}
