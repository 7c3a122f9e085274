/** What can be done about a job: cancel it, run it again, delete it, copy its text. */

import { copyButton, fill, h } from './dom.js';

const ERROR_STAYS_MS = 6_000;

export class Actions {
  cancelling = false;
  #id;
  #client;
  #options;
  #errors = h('div', { role: 'alert' });
  #buttons = h('div', { class: 'buttons' });
  element = h('div', {}, this.#buttons, this.#errors);

  /** @param {string} id @param {import('../jobcast.js').Jobcast} client
   *  @param {{go: (id: string) => void, text: () => string, changed: () => void, refuge: HTMLElement}} options
   *  `refuge` takes the focus of a button that goes away. */
  constructor(id, client, options) {
    this.#id = id;
    this.#client = client;
    this.#options = options;
  }

  /** @param {string} status @param {boolean} ended */
  render(status, ended) {
    const wanted = ended ? 'ended' : this.cancelling ? 'cancelling' : status && 'open';
    if (this.#buttons.dataset.shown === wanted) return;
    const focused = this.#buttons.contains(document.activeElement);
    this.#buttons.dataset.shown = wanted;
    fill(this.#buttons, ...this.#wanted(wanted));
    if (focused) this.#options.refuge.focus({ preventScroll: true });
  }

  /** @param {string} wanted */
  #wanted(wanted) {
    const copy = copyButton('Copy text', this.#options.text);
    if (wanted === 'ended')
      return [button('Run again', () => this.#retry()), copy, button('Delete', () => this.#ask(), 'quiet small')];
    if (wanted === 'open') return [button('Cancel', () => this.#cancel()), copy];
    if (wanted === 'cancelling') return [h('button', { type: 'button', disabled: true }, 'Cancelling…'), copy];
    return [];
  }

  async #cancel() {
    this.cancelling = true;
    this.#options.changed();
    await this.#try(() => this.#client.cancel(this.#id));
  }

  async #retry() {
    const job = await this.#try(() => this.#client.retry(this.#id));
    if (job) this.#options.go(job.id);
  }

  #ask() {
    const buttons = [
      h('button', { value: 'yes', class: 'danger' }, 'Delete'),
      h('button', { value: '', autofocus: true }, 'Keep'),
    ];
    const dialog = h(
      'dialog',
      { 'aria-labelledby': 'ask' },
      h(
        'form',
        { method: 'dialog' },
        h('h2', { id: 'ask' }, 'Delete this job?'),
        h('p', {}, 'Its text, result and files go, for everybody.'),
        h('div', { class: 'actions' }, ...buttons),
      ),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (dialog.returnValue === 'yes') this.#delete();
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  async #delete() {
    const gone = await this.#try(() => this.#client.remove(this.#id).then(() => true));
    if (gone) this.#options.go('');
  }

  /** Does something that the server may refuse, and says so. @template T @param {() => Promise<T>} action
   * @returns {Promise<T|undefined>} */
  async #try(action) {
    try {
      return await action();
    } catch (error) {
      this.cancelling = false;
      this.#options.changed();
      const line = h('p', { class: 'note bad' }, /** @type {Error} */ (error).message);
      this.#errors.append(line);
      setTimeout(() => line.remove(), ERROR_STAYS_MS);
      return undefined;
    }
  }
}

/** @param {string} label @param {() => void} onclick @param {string} [style] */
function button(label, onclick, style = '') {
  return h('button', { type: 'button', class: style, onclick }, label);
}
