/** A server that is played by hand: an EventSource and a fetch without a network. */

/** As a browser's, but what arrives is said by the test. Every one ever made is in `made`. */
export class FakeEventSource {
  /** @type {FakeEventSource[]} */ static made = [];

  static get last() {
    return FakeEventSource.made.at(-1);
  }

  /** Those that are not closed. */
  static get open() {
    return FakeEventSource.made.filter((source) => source.readyState !== 2);
  }

  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.listeners = new Map();
    FakeEventSource.made.push(this);
  }

  addEventListener(type, listener) {
    this.listeners.set(type, listener);
  }

  close() {
    this.readyState = 2;
  }

  opens() {
    this.readyState = 1;
    this.onopen?.();
  }

  /** An event arrives, with `id:` where one is given. */
  sends(event, id = String(event.seq ?? '')) {
    if (this.readyState === 0) this.opens();
    this.listeners.get(event.type)?.({ type: event.type, data: JSON.stringify({ attempt: 1, ...event }), lastEventId: id });
  }

  /** The connection is cut; the browser connects again by itself. */
  isCut() {
    this.readyState = 0;
    this.onerror?.();
  }

  /** Any answer but 200: the browser gives up. */
  async givesUp() {
    this.readyState = 2;
    this.onerror?.();
    await settled();
  }
}

/** A fetch whose answers a test gives by "METHOD /path": a body, `{http: status, body, headers}`, a function that makes
 * one of these, or an Error for no answer. What is not given is a 404. */
export function fakeFetch(answers) {
  const calls = [];
  const fetch = async (address, request) => {
    calls.push({ address, ...request });
    const found = answers[`${request.method} ${address}`] ?? { http: 404, body: { code: 'not_found', detail: 'no such thing' } };
    const answer = typeof found === 'function' ? found(request) : found;
    if (answer instanceof Error) throw answer;
    const { http: status, body, headers = {} } = answer.http ? answer : { http: 200, body: answer };
    return new Response(JSON.stringify(body), { status, headers });
  };
  return { fetch, calls };
}

/** Every promise that can go on has. */
export async function settled() {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** The window and the document, as far as the client looks at them. */
export function fakeWindow() {
  const [window, document] = [new EventTarget(), new EventTarget()];
  Object.assign(globalThis, { addEventListener: window.addEventListener.bind(window), document });
  Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true, writable: true });
  document.hidden = false;
  return { window, document };
}

export const token = (seq, text, more = {}) => ({ seq, type: 'token', text, ...more });
