/** The button that changes between the system's theme, light and dark. */

import { fill, h } from './dom.js';

const THEMES = ['auto', 'light', 'dark'];
const NAMES = /** @type {Record<string, string>} */ ({ auto: 'as the system', light: 'light', dark: 'dark' });
const SIGNS = /** @type {Record<string, string>} */ ({ auto: '◐', light: '☀', dark: '☾' });

/** @param {HTMLElement} button */
export function installThemeButton(button) {
  const root = document.documentElement;
  const show = () => {
    const theme = root.dataset.theme ?? 'auto';
    fill(button, h('span', { 'aria-hidden': 'true' }, SIGNS[theme]));
    button.setAttribute('aria-label', `Theme: ${NAMES[theme]}`);
    button.title = `Theme: ${NAMES[theme]}`;
  };
  button.addEventListener('click', () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? 'auto') + 1) % THEMES.length];
    root.dataset.theme = next;
    localStorage.setItem('jobcast.theme', next);
    show();
  });
  show();
}
