/** What a job leaves beside its text: files, a result, a log; and the small print. */

import { copyButton, fill, h } from './dom.js';
import { watchLine } from './curl.js';
import { bytes, clock } from './format.js';

/** @typedef {import('../jobcast/types.js').Job} Job */
/** @typedef {import('../jobcast/types.js').JobEvent} JobEvent */

const MOST_LOG_LINES = 500;

export class Extras {
  #base;
  #isKeyed;
  #files = h('ul', { class: 'artifacts', 'aria-label': 'Files', hidden: true });
  /** @type {Map<string|undefined, HTMLElement>} */ #shown = new Map();
  #result = h('details', { class: 'box', hidden: true }, h('summary', {}, 'Result'));
  #logLines = h('ol', { class: 'log', tabindex: '0', 'aria-label': 'Log' });
  #log = h('details', { class: 'box', hidden: true }, h('summary', {}, 'Log'), this.#logLines);
  #details = h('details', { class: 'box', hidden: true });
  elements = [this.#files, h('div', { class: 'boxes' }, this.#result, this.#log, this.#details)];

  /** @param {{base: string, isKeyed: () => boolean}} options */
  constructor({ base, isKeyed }) {
    this.#base = base;
    this.#isKeyed = isKeyed;
  }

  /** @param {JobEvent} event */
  hear(event) {
    if (event.type === 'log') this.#addLine(event);
    if (event.type === 'artifact') this.#addFile(event);
  }

  /** @param {any} result what is not shown as text @param {boolean} open */
  showResult(result, open) {
    if (!this.#result.hidden) return;
    this.#result.hidden = false;
    this.#result.open = open;
    this.#result.append(h('pre', { tabindex: '0', 'aria-label': 'Result' }, JSON.stringify(result, null, 2)));
  }

  /** @param {Job} job */
  showDetails({ id, kind, queue, created_at: made, retry_of: source, parent }) {
    if (!this.#details.hidden) return;
    this.#details.hidden = false;
    const line = watchLine(this.#base, id, this.#isKeyed());
    const above = parent && h('a', { href: `?job=${parent}`, 'data-route': true }, parent);
    const first = source && h('a', { href: `?job=${source}`, 'data-route': true }, source);
    const rows = {
      Id: h('code', {}, id),
      Kind: kind,
      Queue: queue,
      Submitted: new Date(made).toLocaleString(),
      'Part of': above,
      'Run again from': first,
    };
    const shown = Object.entries(rows).filter(([, value]) => value);
    fill(
      this.#details,
      h('summary', {}, 'Details'),
      h('dl', {}, ...shown.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
      h(
        'div',
        { class: 'curl-line' },
        h('pre', { tabindex: '0', 'aria-label': 'Command line' }, line),
        copyButton('Copy', () => line),
      ),
    );
  }

  /** @param {JobEvent} event */
  #addLine(event) {
    this.#log.hidden = false;
    this.#logLines.append(h('li', { 'data-level': event.level }, h('time', {}, clock(event.at)), ' ', event.message));
    if (this.#logLines.children.length > MOST_LOG_LINES) this.#logLines.firstElementChild?.remove();
  }

  /** @param {JobEvent} event */
  #addFile(event) {
    this.#files.hidden = false;
    const href = new URL((event.url ?? '').replace(/^\//, ''), this.#base).href;
    // One of the same name replaces the one before, and has its address: another `seq` lets it be fetched anew.
    const src = `${href}?seq=${event.seq}`;
    const picture = event.media_type?.startsWith('image/') && h('img', { src, alt: '', loading: 'lazy' });
    const size = h('span', { class: 'help' }, ` ${bytes(event.size ?? 0)}`);
    const shown = h('li', {}, h('a', { href, download: event.name }, picture, h('span', {}, event.name, size)));
    const before = this.#shown.get(event.name);
    if (before) before.replaceWith(shown);
    else this.#files.append(shown);
    this.#shown.set(event.name, shown);
  }
}
