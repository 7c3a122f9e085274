/** The list of jobs: live, filtered, a page at a time. */

import { ago, progressWords, STATUSES, statusWord, titleOf } from './format.js';
import { fill, h, setText, throttled } from './dom.js';

/** @typedef {import('../jobcast/types.js').Job} Job */
/** @typedef {import('../jobcast/types.js').JobEvent} JobEvent */

const PAGE = 30;
const STATUS_AFTER = /** @type {Record<string, string>} */ ({ started: 'running', progress: 'running' });

export class JobList {
  /** @type {Job[]} */ #jobs = [];
  /** @type {Map<string, {element: HTMLElement, show: (job: Job, current: boolean) => void}>} */ #rows = new Map();
  /** @type {string|null} */ #next = null;
  #filter = { status: '', kind: '' };
  #current = '';
  #asked = 0;
  #client;
  #linkTo;

  #status = h(
    'select',
    { id: 'filter-status' },
    h('option', { value: '' }, 'Any status'),
    ...STATUSES.map((name) => h('option', { value: name }, statusWord(name))),
  );
  #kind = h('select', { id: 'filter-kind' }, h('option', { value: '' }, 'Any kind'));
  #list = h('ul', { class: 'job-list' });
  #note = h('div', { class: 'empty', hidden: true });
  #more = h(
    'button',
    { type: 'button', class: 'quiet wide', hidden: true, onclick: () => this.#showMore() },
    'Show older jobs',
  );

  /** Asks for the first page again; at most once a second, however much happens. */
  refresh = throttled(() => this.#load(), 1000);

  /** @param {import('../jobcast.js').Jobcast} client
   *  @param {{linkTo: (id: string) => string, onFilter: (filter: {status: string, kind: string}) => void}} options */
  constructor(client, { linkTo, onFilter }) {
    this.#client = client;
    this.#linkTo = linkTo;
    const changed = () => onFilter({ status: this.#status.value, kind: this.#kind.value });
    const filters = h(
      'form',
      { class: 'filters', onchange: changed, onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
      h('label', { class: 'unseen', for: 'filter-status' }, 'Status'),
      this.#status,
      h('label', { class: 'unseen', for: 'filter-kind' }, 'Kind'),
      this.#kind,
    );
    this.parts = [
      h('h2', { id: 'jobs-title' }, 'Jobs'),
      filters,
      this.#list,
      this.#note,
      this.#more,
      h('p', { class: 'api-link' }, h('a', { href: 'docs' }, 'The API of this server')),
    ];
    setInterval(() => this.#render(), 30_000);
  }

  /** @param {string[]} names */
  setKinds(names) {
    const known = [...this.#kind.options].map((option) => option.value);
    for (const name of names) if (!known.includes(name)) this.#kind.append(h('option', { value: name }, name));
    this.#kind.value = this.#filter.kind;
  }

  /** @param {{status: string, kind: string}} filter @param {string} current the job that is being looked at */
  show(filter, current) {
    const same = filter.status === this.#filter.status && filter.kind === this.#filter.kind && this.#asked > 0;
    this.#current = current;
    this.#filter = filter;
    this.#status.value = filter.status;
    this.setKinds(filter.kind ? [filter.kind] : []);
    if (same) return this.#render();
    [this.#jobs, this.#next] = [[], null];
    this.#skeleton();
    this.#load();
  }

  /** @param {JobEvent} event Of any job: what is shown changes at once, the rest when the list is asked for again. */
  hear(event) {
    const job = this.#jobs.find(({ id }) => id === event.job);
    if (job) this.#apply(job, event);
    if (!job || event.type !== 'progress') this.refresh();
  }

  /** @param {Job} job @param {JobEvent} event */
  #apply(job, event) {
    if (event.type === 'gap') return;
    job.status = /** @type {Job['status']} */ (STATUS_AFTER[event.type] ?? event.type);
    if (event.type === 'progress') job.progress = { ...event, fraction: event.fraction ?? null };
    this.#rows.get(job.id)?.show(job, job.id === this.#current);
  }

  async #load() {
    const asked = ++this.#asked;
    try {
      const { jobs, next } = await this.#client.list({ ...this.#filter, limit: PAGE });
      if (asked !== this.#asked) return;
      // Older pages stay as they were: they end where this one does.
      const last = jobs.at(-1);
      const older = next && last ? this.#jobs.filter((job) => job.created_at < last.created_at) : [];
      if (!older.length) this.#next = next;
      this.#jobs = [...jobs, ...older];
      this.#render();
    } catch (error) {
      if (asked === this.#asked) this.#failed(/** @type {Error} */ (error));
    }
  }

  async #showMore() {
    this.#more.disabled = true;
    try {
      const { jobs, next } = await this.#client.list({ ...this.#filter, limit: PAGE, cursor: this.#next ?? '' });
      const known = new Set(this.#jobs.map(({ id }) => id));
      this.#jobs.push(...jobs.filter(({ id }) => !known.has(id)));
      this.#next = next;
      this.#render();
    } catch (error) {
      this.#failed(/** @type {Error} */ (error));
    } finally {
      this.#more.disabled = false;
    }
  }

  #skeleton() {
    this.#rows.clear();
    this.#note.hidden = true;
    fill(this.#list, ...[1, 2, 3].map(() => h('li', { class: 'skeleton', 'aria-hidden': 'true' }, h('i'), h('i'))));
  }

  /** @param {Error} error */
  #failed(error) {
    if (this.#jobs.length) return;
    this.#list.replaceChildren();
    this.#say(error.message);
  }

  #render() {
    if (!this.#asked) return;
    const elements = this.#jobs.map((job) => {
      const row = this.#rows.get(job.id) ?? makeRow(this.#linkTo(job.id));
      row.show(job, job.id === this.#current);
      row.element.querySelector('a')?.setAttribute('href', this.#linkTo(job.id));
      this.#rows.set(job.id, row);
      return row.element;
    });
    arrange(this.#list, elements);
    const shown = new Set(this.#jobs.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!shown.has(id)) this.#rows.delete(id);
    this.#more.hidden = !this.#next;
    const filtered = this.#filter.status || this.#filter.kind;
    this.#say(
      elements.length
        ? ''
        : filtered
          ? 'No job fits these filters.'
          : 'No jobs yet. The first one that you submit shows up here.',
    );
  }

  /** @param {string} text */
  #say(text) {
    this.#note.hidden = !text;
    setText(this.#note, text);
  }
}

/** Puts elements into a list in their order, and touches only what differs: a focused link keeps its focus.
 * @param {HTMLElement} list @param {HTMLElement[]} elements */
function arrange(list, elements) {
  const wanted = new Set(/** @type {Element[]} */ (elements));
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  elements.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
}

/** @param {string} href */
function makeRow(href) {
  const title = h('span', { class: 'row-title' });
  const state = h('span', { class: 'row-state' });
  const when = h('time', { class: 'row-when' });
  const bar = h('progress', { max: 1, 'aria-hidden': 'true', hidden: true });
  const link = h(
    'a',
    { href, 'data-route': true },
    h('span', { class: 'dot', 'aria-hidden': 'true' }),
    title,
    when,
    state,
    bar,
  );
  return {
    element: h('li', {}, link),
    /** @param {Job} job @param {boolean} current */
    show(job, current) {
      const { fraction = null } = job.progress ?? {};
      const running = job.status === 'running';
      link.dataset.status = job.status;
      link.toggleAttribute('aria-current', current);
      if (current) link.setAttribute('aria-current', 'page');
      setText(title, titleOf(job));
      const words = running && job.progress ? progressWords({ fraction, message: job.progress.step }) : '';
      setText(state, [statusWord(job.status), job.kind, words].filter(Boolean).join(' · '));
      when.dateTime = job.created_at;
      setText(when, ago(job.created_at));
      bar.hidden = !running || fraction === null;
      bar.value = fraction ?? 0;
    },
  };
}
