/** A growing text: appended once a frame, scrolled along only while its reader is at the end. */

import { h } from './dom.js';

/** A block of text is closed at the first line end after so much: the browser then lays out the last one only. */
const BLOCK_CHARS = 4_000;
const AT_END_PX = 32;

export class Output {
  #pending = '';
  #frame = 0;
  #stick = true;
  #growing = true;
  /** @type {Text|null} */ #last = null;
  #text = h('div', { class: 'output-text' });
  #jump = h(
    'button',
    { type: 'button', class: 'jump small', hidden: true, onclick: () => this.#toEnd() },
    'Jump to the end ↓',
  );

  /** @param {string} label What the text is, to screen readers. It is no live region: who wants each token read out? */
  constructor(label) {
    this.box = h(
      'div',
      { class: 'output-box', tabindex: '0', role: 'region', 'aria-label': label, onscroll: () => this.#scrolled() },
      this.#text,
    );
    this.element = h('div', { class: 'output' }, this.box, this.#jump);
  }

  /** @param {string} text */
  append(text) {
    this.#pending += text;
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  /** @param {string} text */
  replace(text) {
    this.#text.replaceChildren();
    this.#last = null;
    this.#pending = '';
    this.append(text);
  }

  #flush() {
    this.#frame = 0;
    const text = this.#pending;
    this.#pending = '';
    for (let start = 0; start < text.length;) {
      const end = this.#blockEnd(text, start);
      this.#add(text.slice(start, end));
      start = end;
    }
    if (this.#stick) this.box.scrollTop = this.box.scrollHeight;
    else this.#jump.hidden = !this.#growing;
  }

  /** Where the block that is being filled ends in a text. @param {string} text @param {number} start */
  #blockEnd(text, start) {
    const room = BLOCK_CHARS - (this.#last?.length ?? 0);
    const lineEnd = text.indexOf('\n', start + Math.max(0, room));
    return lineEnd < 0 ? text.length : lineEnd + 1;
  }

  /** @param {string} text */
  #add(text) {
    if (this.#last && !(this.#last.length >= BLOCK_CHARS && this.#last.data.endsWith('\n')))
      return this.#last.appendData(text);
    this.#last = document.createTextNode(text);
    this.#text.append(h('div', {}, this.#last));
  }

  #scrolled() {
    this.#stick = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < AT_END_PX;
    if (this.#stick) this.#jump.hidden = true;
  }

  /** Shows the beginning, and stays there: for a text that is whole. */
  toTop() {
    this.#stick = this.#growing = false;
    this.#jump.hidden = true;
    this.box.scrollTop = 0;
  }

  #toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.box.focus();
  }
}
