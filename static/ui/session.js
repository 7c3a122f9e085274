/** Signing in with an API key, where the server wants one. */

import { fill, h, one } from './dom.js';

const SIGNED_IN = 'jobcast.signedIn';

/** Whether this browser signed in here before: the cookie itself is none of a script's business. */
export function isSignedIn() {
  return localStorage.getItem(SIGNED_IN) === 'yes';
}

/** Asks for a key until one is taken. One dialog at a time, whoever asks. */
export class Session {
  /** @type {HTMLDialogElement|null} */ #dialog = null;
  #client;

  /** @param {import('../jobcast.js').Jobcast} client */
  constructor(client) {
    this.#client = client;
    const button = one('#sign-out');
    button.hidden = !isSignedIn();
    button.addEventListener('click', () => this.#signOut());
  }

  /** Shows the form; the page starts anew once the key is taken. */
  ask() {
    if (this.#dialog) return;
    const key = h('input', {
      id: 'key',
      type: 'password',
      autocomplete: 'current-password',
      required: true,
      autofocus: true,
      'aria-describedby': 'key-error',
    });
    const error = h('p', { id: 'key-error', class: 'field-error', hidden: true });
    const form = h(
      'form',
      { method: 'dialog', onsubmit: (/** @type {Event} */ event) => this.#send(event, key.value, error) },
      h('h2', { id: 'sign-in' }, 'Sign in'),
      h('p', { class: 'help' }, 'This server asks for an API key.'),
      h('div', { class: 'field' }, h('label', { for: 'key' }, 'API key'), key, error),
      h('div', { class: 'actions' }, h('button', { class: 'primary' }, 'Sign in')),
    );
    this.#dialog = h('dialog', { 'aria-labelledby': 'sign-in', onclose: () => this.#dismissed() }, form);
    document.body.append(this.#dialog);
    this.#dialog.showModal();
  }

  #dismissed() {
    this.#dialog?.remove();
    this.#dialog = null;
    fill(
      one('#main'),
      h(
        'div',
        { class: 'empty' },
        h('h1', {}, 'Not signed in'),
        h('button', { type: 'button', class: 'primary', onclick: () => this.ask() }, 'Sign in'),
      ),
    );
  }

  /** @param {Event} event @param {string} key @param {HTMLElement} error */
  async #send(event, key, error) {
    event.preventDefault();
    try {
      await this.#client.signIn(key);
      localStorage.setItem(SIGNED_IN, 'yes');
      location.reload();
    } catch (reason) {
      error.textContent = /** @type {Error} */ (reason).message;
      error.hidden = false;
    }
  }

  async #signOut() {
    await this.#client.signOut().catch(() => {});
    localStorage.removeItem(SIGNED_IN);
    location.reload();
  }
}
