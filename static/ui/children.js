/** The jobs that a job has asked for, step by step, as its own log tells of them. */

import { h, setText } from './dom.js';
import { statusWord } from './format.js';

/** @typedef {import('../jobcast/types.js').JobEvent} JobEvent */
/** @typedef {{list: HTMLElement, words: HTMLElement, rows: Map<number, HTMLElement>}} Step */

/** Of a larger group only the figures are shown: its log tells of some of its jobs. */
const MOST_ROWS = 100;

export class Children {
  /** @type {Map<string, Step>} */ #steps = new Map();
  element = h('section', { class: 'children', 'aria-label': 'Children', hidden: true });

  /** @param {JobEvent} event */
  hear({ step, child, children, total }) {
    if (!child || !children || !step) return;
    this.element.hidden = false;
    const shown = this.#steps.get(step) ?? this.#add(step);
    const figures = Object.entries(children).filter(([, count]) => count > 0);
    setText(shown.words, figures.map(([status, count]) => `${count} ${statusWord(status).toLowerCase()}`).join(', '));
    if ((total ?? 0) > MOST_ROWS) return;
    const row = shown.rows.get(child.index) ?? this.#addRow(shown, child.index);
    const chip = h('span', { class: 'chip', 'data-status': child.status }, statusWord(child.status));
    const name = `${child.kind} ${child.index + 1}`;
    row.replaceChildren(h('a', { href: `?job=${child.job}`, 'data-route': true }, name), chip);
  }

  /** @param {string} step @returns {Step} */
  #add(step) {
    const list = h('ul', { class: 'child-list' });
    const words = h('span', { class: 'help' });
    this.element.append(h('h2', {}, step, ' ', words), list);
    const made = { list, words, rows: new Map() };
    this.#steps.set(step, made);
    return made;
  }

  /** In the order of their places, whichever of them begins first. @param {Step} shown @param {number} index */
  #addRow(shown, index) {
    const row = h('li', {});
    const next = [...shown.rows.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
    shown.list.insertBefore(row, shown.rows.get(next) ?? null);
    shown.rows.set(index, row);
    return row;
  }
}
