/** The page of the API: what openapi.json says, for people. */

import { contents } from './docs/contents.js';
import { prose } from './docs/prose.js';
import { group, grouped } from './docs/routes.js';
import { schemas } from './docs/schemas.js';
import { fill, one } from './ui/dom.js';
import { installThemeButton } from './ui/theme-button.js';

/** @typedef {import('./docs/types.js').Document} Document */

// The page may stand below a path, behind a proxy: everything is relative to where this module came from.
const base = new URL('..', import.meta.url).href.replace(/\/$/, '');

/** @param {Document} description */
function show(description) {
  const groups = grouped(description);
  fill(one('#intro'), ...prose(description.info.description ?? ''));
  fill(one('#routes'), ...groups.map((each) => group(each, description, base)));
  fill(one('#schemas'), schemas(description));
  fill(one('#contents'), ...contents(groups));
  // What the address points at was not there when the browser looked for it.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

async function start() {
  installThemeButton(/** @type {HTMLButtonElement} */ (one('#theme')));
  try {
    const answer = await fetch(`${base}/openapi.json`);
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    const trouble = one('#trouble');
    trouble.textContent = `openapi.json cannot be shown: ${error instanceof Error ? error.message : error}`;
    trouble.hidden = false;
  }
}

start();
