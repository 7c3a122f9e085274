/** How far a job is: a bar, words, and the steps that it has gone through. */

import { h, setText } from './dom.js';
import { progressWords } from './format.js';

/** @typedef {import('../jobcast/types.js').JobEvent} JobEvent */

export class ProgressPart {
  /** @type {string[]} */ #steps = [];
  #bar = h('progress', { max: 1, 'aria-label': 'Progress' });
  #words = h('p', { class: 'progress-words' });
  #box = h('div', { class: 'progress', hidden: true }, this.#bar, this.#words);
  #list = h('ol', { class: 'steps', 'aria-label': 'Steps', hidden: true });
  elements = [this.#box, this.#list];

  /** @param {JobEvent} event */
  hear(event) {
    // One that goes on from a checkpoint has its steps behind it.
    if (event.type === 'started' && !event.rollback_to) this.#steps = [];
    if (event.type === 'progress' && event.step && this.#steps.at(-1) !== event.step) this.#steps.push(event.step);
  }

  get hasSteps() {
    return this.#steps.length > 0;
  }

  /** @param {import('../jobcast.js').FollowedJob} job @param {boolean} ended */
  render({ progress, status }, ended) {
    this.#box.hidden = !progress || status === 'succeeded';
    this.#list.hidden = !this.hasSteps;
    this.#renderSteps(status === 'succeeded');
    if (!progress) return;
    // Without a value the bar says that something is going on, and not how far.
    if (progress.fraction === null) this.#bar.removeAttribute('value');
    else this.#bar.value = progress.fraction;
    setText(this.#words, progressWords({ ...progress, eta_s: ended ? null : progress.eta_s }));
  }

  /** @param {boolean} allDone */
  #renderSteps(allDone) {
    while (this.#list.children.length > this.#steps.length) this.#list.lastElementChild?.remove();
    this.#steps.forEach((step, index) => {
      const item = this.#list.children[index] ?? this.#list.appendChild(h('li'));
      const current = index === this.#steps.length - 1 && !allDone;
      setText(item, step);
      item.toggleAttribute('data-done', !current);
      if (current) item.setAttribute('aria-current', 'step');
      else item.removeAttribute('aria-current');
    });
  }
}
