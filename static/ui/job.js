/** One job as the page shows it, from its first event to its last. */

import { Actions } from './actions.js';
import { Children } from './children.js';
import { announce, fill, h, setText, throttled } from './dom.js';
import { Extras } from './extras.js';
import { Facts } from './facts.js';
import { sentence, statusWord, titleOf } from './format.js';
import { Output } from './output.js';
import { ProgressPart } from './progress.js';

/** @typedef {import('../jobcast/types.js').Job} Job */
/** @typedef {import('../jobcast/types.js').JobEvent} JobEvent */
/** @typedef {import('../jobcast.js').JobcastError} JobcastError */

const ENDS = new Set(['succeeded', 'failed', 'cancelled']);
const POLL_MS = 3_000;
const CLOCK_MS = 200;

export class JobView {
  /** @type {Job|null} */ #job = null;
  /** @type {Map<string, Output>} */ #outputs = new Map();
  #announced = '';
  #fromTop = false;
  #frame = 0;
  #client;
  #onRefused;
  #followed;
  #timers;

  #title = h('h1', { id: 'title', tabindex: '-1' }, 'Job');
  #chip = h('span', { class: 'chip' });
  #factLine = h('p', { class: 'facts' });
  #notes = h('div', { class: 'notes' });
  #working = h('div', { class: 'output-box working', 'aria-hidden': 'true', hidden: true });
  #texts = h('div', { class: 'outputs' });
  #facts = new Facts();
  #progress = new ProgressPart();
  #children = new Children();
  #actions;
  #extras;

  /** While the job waits, its place in the queue changes: asked for at most once a second. */
  #refresh = throttled(() => this.#load(), 1000);

  /** @param {string} id @param {import('../jobcast.js').Jobcast} client
   *  @param {{base: string, isKeyed: () => boolean, onConnection: (connection: string) => void,
   *    onRefused: (error: JobcastError) => void, go: (id: string) => void}} options */
  constructor(id, client, options) {
    this.id = id;
    this.#client = client;
    this.#onRefused = options.onRefused;
    const text = () => this.#followed.text || JSON.stringify(this.#followed.result, null, 2);
    this.#actions = new Actions(id, client, {
      go: options.go,
      text,
      changed: () => this.#renderSoon(),
      refuge: this.#title,
    });
    this.#extras = new Extras(options);
    const head = h(
      'header',
      { class: 'job-head' },
      h('div', { class: 'job-line' }, this.#chip, this.#factLine),
      this.#title,
      this.#actions.element,
    );
    this.element = h(
      'article',
      { class: 'job', 'aria-labelledby': 'title' },
      head,
      this.#notes,
      ...this.#progress.elements,
      this.#children.element,
      this.#working,
      this.#texts,
      ...this.#extras.elements,
    );
    this.#followed = this.#follow(options.onConnection);
    this.#load();
    this.#timers = [
      setInterval(() => {
        if (!this.#ended && this.#status !== 'running') this.#refresh();
      }, POLL_MS),
      setInterval(() => {
        if (!this.#ended) this.#renderSoon();
      }, CLOCK_MS),
    ];
  }

  /** Something happened to some job: one that waits may be moved by that. */
  nudge() {
    if (this.#status === 'queued') this.#refresh();
  }

  close() {
    this.#followed.close();
    this.#timers.forEach(clearInterval);
    cancelAnimationFrame(this.#frame);
  }

  /** @param {(connection: string) => void} onConnection */
  #follow(onConnection) {
    return this.#client.follow(this.id, {
      onText: (text, { channel, replaced }) => this.#write(channel, text, replaced),
      onEvent: (event) => this.#hear(event),
      onState: () => this.#stateChanged(),
      onConnection,
      onError: (error) => this.#refused(error),
    });
  }

  /** An end that the record tells is final, however much of the log is still to come. @returns {string} */
  get #status() {
    const known = this.#job?.status ?? '';
    return ENDS.has(known) ? known : (this.#followed.status ?? known);
  }

  get #ended() {
    return this.#followed.done || ENDS.has(this.#status);
  }

  async #load() {
    try {
      const first = !this.#job;
      this.#job = await this.#client.get(this.id);
      if (first && ENDS.has(this.#job.status)) this.#showFromTop();
      this.#renderSoon();
    } catch {
      // Following the same job meets the same trouble: it tells, or goes on once that has passed.
    }
  }

  /** Who opens a job that has ended comes to read it. */
  #showFromTop() {
    this.#fromTop = true;
    for (const output of this.#outputs.values()) output.toTop();
  }

  /** @param {string} channel @param {string} text @param {boolean} replaced */
  #write(channel, text, replaced) {
    const output = this.#outputs.get(channel) ?? this.#addOutput(channel);
    if (replaced) output.replace(text);
    else output.append(text);
  }

  /** @param {string} channel */
  #addOutput(channel) {
    const output = new Output(channel === 'main' ? 'Output' : `Output ${channel}`);
    this.#texts.append(
      h('section', { 'data-channel': channel }, channel !== 'main' && h('h2', {}, channel), output.element),
    );
    this.#outputs.set(channel, output);
    if (this.#fromTop) output.toTop();
    return output;
  }

  /** @param {JobEvent} event */
  #hear(event) {
    for (const part of [this.#facts, this.#progress, this.#children, this.#extras]) part.hear(event);
    if (event.type === 'started') this.#actions.cancelling = false;
    this.#renderSoon();
  }

  #stateChanged() {
    this.#renderSoon();
    const status = this.#status;
    if (status === this.#announced) return;
    if (this.#announced) this.#load();
    this.#announced = status;
    announce(`Job ${statusWord(status).toLowerCase()}`);
  }

  /** @param {JobcastError} error */
  #refused(error) {
    if (error.status === 401) return this.#onRefused(error);
    const gone = error.status === 404 || error.status === 422;
    this.close();
    setText(this.#title, gone ? 'There is no such job' : 'This job cannot be shown');
    fill(
      this.element,
      h(
        'div',
        { class: 'empty' },
        this.#title,
        h('p', {}, gone ? 'It may have been deleted, or its address has a slip.' : error.message),
        h('a', { class: 'button', href: './', 'data-route': true }, 'New job'),
      ),
    );
  }

  #renderSoon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    const [status, ended, job] = [this.#status, this.#ended, this.#job];
    const title = job ? titleOf(job) : 'Job';
    this.element.dataset.status = this.#chip.dataset.status = status;
    this.element.ariaBusy = String(ended && !this.#followed.done);
    setText(this.#chip, this.#actions.cancelling && !ended ? 'Cancelling' : statusWord(status));
    setText(this.#title, title);
    setText(this.#factLine, this.#facts.words(this.#followed, job));
    document.title = `${title} · Jobcast`;
    this.#renderNotes(status, ended);
    this.#progress.render(this.#followed, ended);
    this.#actions.render(status, ended);
    this.#working.hidden = status !== 'running' || this.#outputs.size > 0 || this.#followed.progress !== null;
    if (ended) this.#renderResult();
    if (job) this.#extras.showDetails(job);
  }

  /** @param {string} status @param {boolean} ended */
  #renderNotes(status, ended) {
    const { error, complete, attempt } = this.#followed;
    const { queue, queue_position: place, hint } = this.#job ?? {};
    const lines = [
      status === 'queued' && place && `Number ${place} in the queue ${queue}.`,
      !ended && hint && sentence(hint),
      error && !ended && `Attempt ${attempt} failed: ${sentence(error.message)} ${this.#facts.pauseWords()}`,
      status === 'failed' && sentence(error?.message ?? 'It failed.'),
      status === 'cancelled' && 'It was cancelled. What it had produced is kept.',
      !complete && 'Some of what happened is no longer kept.',
    ].filter((line) => typeof line === 'string');
    if (this.#notes.dataset.shown === lines.join('')) return;
    this.#notes.dataset.shown = lines.join('');
    const tone = status === 'failed' ? 'bad' : error ? 'warn' : '';
    fill(this.#notes, ...lines.map((line) => h('p', { class: `note ${tone}` }, ...withCode(line))));
  }

  #renderResult() {
    const { result, text: shown } = this.#followed;
    if (result === null) return;
    const { text, ...rest } = Object(result);
    const isText = typeof text === 'string';
    // The log is kept for less long than the result.
    if (isText && !shown && text) this.#write('main', text, true);
    this.#extras.showResult(isText ? rest : result, this.#outputs.size === 0);
  }
}

/** A text with what stands between backticks as code. @param {string} line */
function withCode(line) {
  return line.split('`').map((part, index) => (index % 2 ? h('code', {}, part) : part));
}
