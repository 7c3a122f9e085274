/** The form that submits a job: a kind, its input, and the same as a command line. */

import { copyButton, fill, h, setText } from './dom.js';
import { curlLine } from './curl.js';
import { fileName } from './file-field.js';
import { fieldsOf } from './form.js';

/** @typedef {import('../jobcast/types.js').Job} Job */
/** @typedef {import('../jobcast/types.js').Kind} Kind */
/** @typedef {import('./form.js').Field} Field */

const DRAFT = 'jobcast.draft';
const FIRST_KIND = 'generate';
/** What a schema cannot say: which fields go without saying, which are rare, and which another one stands for. */
const LAYOUTS = /** @type {Record<string, {hidden: string[], rare: string[], needed: string[]}>} */ ({
  generate: { hidden: ['messages'], rare: ['system', 'model'], needed: ['prompt'] },
});
const PLAIN = { hidden: [], rare: [], needed: [] };

export class Composer {
  /** @type {Kind[]} */ #kinds = [];
  /** @type {Kind|undefined} */ #kind;
  /** @type {Field[]} */ #fields = [];
  #asJson = false;
  #client;
  #options;

  #body = h('div', { class: 'composer-body' });
  #fieldset = h('div', { class: 'fields' });
  #error = h('p', { class: 'note bad', role: 'alert', hidden: true });
  #curl = h('code');
  #picker = h('select', { id: 'kind', onchange: () => this.#choose(this.#picker.value) });
  #about = h('p', { class: 'help' });
  #json = h('textarea', {
    id: 'input-json',
    class: 'code',
    rows: 12,
    spellcheck: 'false',
    'aria-describedby': 'json-error',
  });
  #toggle = h('button', { type: 'button', class: 'quiet small', onclick: () => this.#switch() });
  #submit = h('button', { type: 'submit', class: 'primary' }, 'Submit');
  #form = h('form', {
    novalidate: true,
    onsubmit: (/** @type {Event} */ event) => this.#send(event),
    oninput: () => this.#changed(),
    onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
  });

  /** @param {import('../jobcast.js').Jobcast} client
   *  @param {{base: string, isKeyed: () => boolean, onSubmitted: (job: Job) => void}} options */
  constructor(client, options) {
    this.#client = client;
    this.#options = options;
    this.element = h(
      'section',
      { class: 'composer', 'aria-labelledby': 'title' },
      h('h1', { id: 'title', tabindex: '-1' }, 'New job'),
      this.#body,
    );
    const keys = navigator.platform.startsWith('Mac') ? '⌘ Enter' : 'Ctrl Enter';
    this.#form.append(
      h('div', { class: 'field' }, h('label', { for: 'kind' }, 'Kind'), this.#picker, this.#about),
      this.#fieldset,
      this.#error,
      h(
        'div',
        { class: 'actions' },
        this.#submit,
        h('kbd', { class: 'keys' }, keys),
        h('span', { class: 'spring' }),
        this.#toggle,
      ),
      h(
        'details',
        { class: 'curl', open: true },
        h('summary', {}, 'The same with curl'),
        h(
          'div',
          { class: 'curl-line' },
          h('pre', { tabindex: '0', 'aria-label': 'Command line' }, this.#curl),
          copyButton('Copy', () => this.#curl.textContent ?? ''),
        ),
      ),
    );
  }

  /** Shows the form, and asks the server for its kinds where they are not known. */
  async open() {
    if (this.#kinds.length) return;
    fill(this.#body, h('div', { class: 'skeleton', 'aria-label': 'Loading' }, h('i'), h('i'), h('i')));
    try {
      this.#kinds = await this.#client.kinds();
    } catch (error) {
      return this.#unavailable(/** @type {Error} */ (error));
    }
    const draft = saved();
    fill(this.#picker, ...this.#kinds.map(({ name, title }) => h('option', { value: name }, title)));
    fill(this.#body, this.#form);
    const names = this.#kinds.map(({ name }) => name);
    if (names.includes(draft.kind)) this.#choose(draft.kind, draft.input);
    else this.#choose(names.includes(FIRST_KIND) ? FIRST_KIND : names[0]);
  }

  /** @param {Error} error */
  #unavailable(error) {
    fill(
      this.#body,
      h(
        'div',
        { class: 'empty' },
        h('p', {}, error.message),
        h('button', { type: 'button', onclick: () => this.open() }, 'Try again'),
      ),
    );
  }

  /** @param {string} name @param {any} [input] */
  #choose(name, input = {}) {
    this.#kind = this.#kinds.find((kind) => kind.name === name);
    if (!this.#kind) return;
    this.#picker.value = name;
    setText(this.#about, this.#kind.description);
    this.#fields = fieldsOf(this.#kind.input_schema, (file) => this.#client.upload(file), this.#layout);
    this.#asJson = Object.keys(input).some((key) => !this.#fields.some((field) => field.name === key));
    this.#show(input);
  }

  get #layout() {
    return LAYOUTS[this.#kind?.name ?? ''] ?? PLAIN;
  }

  /** @param {any} input */
  #show(input) {
    this.#error.hidden = true;
    setText(this.#toggle, this.#asJson ? 'Edit in a form' : 'Edit as JSON');
    if (this.#asJson) {
      this.#json.value = JSON.stringify(input, null, 2);
      fill(
        this.#fieldset,
        h(
          'div',
          { class: 'field field-long' },
          h('label', { for: 'input-json' }, 'Input'),
          this.#json,
          h('p', { id: 'json-error', class: 'field-error', hidden: true }),
        ),
      );
    } else {
      for (const field of this.#fields) if (field.name in input) field.write(input[field.name]);
      const rare = this.#fields.filter((field) => this.#layout.rare.includes(field.name));
      const usual = this.#fields.filter((field) => !rare.includes(field)).map((field) => field.element);
      const more =
        rare.length > 0 &&
        h('details', { class: 'more' }, h('summary', {}, 'More'), ...rare.map((field) => field.element));
      fill(this.#fieldset, ...usual, more);
    }
    this.#changed();
  }

  #switch() {
    const input = this.#read(true);
    if (!input) return;
    this.#asJson = !this.#asJson;
    if (this.#asJson) return this.#show(input);
    this.#choose(this.#picker.value, input);
  }

  /** The input as it stands, or null where it is no JSON. @param {boolean} complain @returns {any} */
  #read(complain) {
    if (this.#asJson) return this.#readJson(complain);
    /** @type {Record<string, any>} */ const input = {};
    let sound = true;
    for (const field of this.#fields) {
      try {
        const value = field.read();
        if (value !== undefined) input[field.name] = value;
      } catch (error) {
        sound = false;
        if (complain) field.complain(`This is not JSON: ${/** @type {Error} */ (error).message}`);
      }
    }
    return sound ? input : null;
  }

  /** @param {boolean} complain */
  #readJson(complain) {
    try {
      return JSON.parse(this.#json.value || '{}');
    } catch (error) {
      if (complain) this.#complainJson(`This is not JSON: ${/** @type {Error} */ (error).message}`);
      return null;
    }
  }

  /** @param {string} message */
  #complainJson(message) {
    const line = this.#fieldset.querySelector('#json-error');
    if (!(line instanceof HTMLElement)) return;
    line.textContent = message;
    line.hidden = !message;
    this.#json.setAttribute('aria-invalid', String(Boolean(message)));
  }

  #changed() {
    const input = this.#read(false);
    if (!input || !this.#kind) return;
    this.#complainJson('');
    setText(this.#curl, curlLine(this.#options.base, { kind: this.#kind.name, input }, this.#options.isKeyed()));
    sessionStorage.setItem(DRAFT, JSON.stringify({ kind: this.#kind.name, input }));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  /** @param {Event} event */
  async #send(event) {
    event.preventDefault();
    this.#error.hidden = true;
    if (!this.#kind || this.#submit.disabled) return;
    this.#submit.disabled = true;
    try {
      if (!(await this.#isSettled())) return;
      const input = this.#read(true);
      if (!input || !this.#isWhole(input)) return;
      const job = await this.#client.submit(this.#kind.name, input, { metadata: { title: titleFor(input) } });
      this.#options.onSubmitted(job);
    } catch (error) {
      this.#refused(/** @type {import('../jobcast.js').JobcastError} */ (error));
    } finally {
      this.#submit.disabled = false;
    }
  }

  /** Whether all files are where the job will find them. */
  async #isSettled() {
    if (this.#asJson) return true;
    return (await Promise.all(this.#fields.map((field) => field.settled()))).every(Boolean);
  }

  /** @param {Record<string, any>} input */
  #isWhole(input) {
    if (this.#asJson) return true;
    const missing = this.#fields.filter(
      (field) => this.#layout.needed.includes(field.name) && input[field.name] === undefined,
    );
    for (const field of missing) field.complain('Write something first.');
    missing[0]?.element.querySelector('textarea')?.focus();
    return missing.length === 0;
  }

  /** @param {import('../jobcast.js').JobcastError} refusal */
  #refused(refusal) {
    const rest = (refusal.errors ?? []).filter(({ field: path, message }) => {
      const field =
        !this.#asJson && this.#fields.find(({ name }) => path === `input.${name}` || path.startsWith(`input.${name}.`));
      if (field) field.complain(message);
      return !field;
    });
    if (refusal.errors?.length && !rest.length) return;
    this.#error.textContent = rest.map(({ field, message }) => `${field}: ${message}`).join('; ') || refusal.message;
    this.#error.hidden = false;
  }
}

/** @param {Record<string, any>} input */
function titleFor(input) {
  const text =
    input.prompt ??
    Object.values(input)
      .flat()
      .map((value) => fileName(value) ?? value)
      .find((value) => typeof value === 'string');
  return text ? text.trim().replace(/\s+/g, ' ').slice(0, 160) : undefined;
}

/** @returns {{kind: string, input: any}} */
function saved() {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT) ?? '{}');
  } catch {
    return { kind: '', input: {} };
  }
}
