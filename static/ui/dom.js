/** Elements without innerHTML: whatever text they carry stays text. */

/** @typedef {Node|string|number|null|undefined|false} Child */

/** Makes an element. Properties that begin with "on" are listeners, `class` and the rest are attributes; true is an
 * empty attribute; false and null are none.
 * @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {Record<string, any>} [properties]
 * @param {...Child} children @returns {HTMLElementTagNameMap[K]} */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** Puts children in the place of those that there are. @param {Element} parent @param {...Child} children */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/** Sets a text where it differs, so that nothing is laid out or announced for nothing.
 * @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @template {Element} [E=HTMLElement] @param {string} selector @param {ParentNode} [root] @returns {E} */
export function one(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`There is no ${selector} in this page.`);
  return /** @type {E} */ (found);
}

/** Tells people who listen to the page. @param {string} text */
export function announce(text) {
  one('#announcer').textContent = text;
}

/** Runs a function at most once in a while: at once, and once more where it was asked for meanwhile.
 * @param {() => unknown} run @param {number} every_ms */
export function throttled(run, every_ms) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */ let timer;
  let last = -Infinity;
  const now = () => {
    clearTimeout(timer);
    timer = undefined;
    last = performance.now();
    run();
  };
  return () => {
    const wait = last + every_ms - performance.now();
    if (wait <= 0) now();
    else timer ??= setTimeout(now, wait);
  };
}

/** A button that copies a text and says so. @param {string} label @param {() => string} text */
export function copyButton(label, text) {
  const button = h('button', { type: 'button', class: 'quiet small' }, label);
  button.addEventListener('click', async () => {
    const done = await copy(text());
    button.textContent = done ? 'Copied' : 'Copying is not allowed here';
    announce(button.textContent);
    setTimeout(() => {
      button.textContent = label;
    }, 1500);
  });
  return button;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text);
  }
}

/** `navigator.clipboard` is missing on plain HTTP. @param {string} text */
function copyTheOldWay(text) {
  const area = h('textarea', { class: 'unseen', 'aria-hidden': 'true' });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}

/** @param {Child[]} children */
function nodes(children) {
  return children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === 'number' ? String(child) : /** @type {Node|string} */ (child)));
}
