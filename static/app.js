/** The page: an address says what is shown, and everything shown comes from jobcast.js. */

import { Jobcast } from './jobcast.js';
import { Composer } from './ui/composer.js';
import { fill, one, setText } from './ui/dom.js';
import { STATUSES } from './ui/format.js';
import { JobList } from './ui/list.js';
import { JobView } from './ui/job.js';
import { isSignedIn, Session } from './ui/session.js';
import { installThemeButton } from './ui/theme-button.js';

/** @typedef {import('./jobcast/types.js').Connection} Connection */

// The page may stand below a path, behind a proxy: everything is relative to where this module came from.
const base = new URL('..', import.meta.url).href;
const client = new Jobcast({ baseUrl: base });
const main = one('#main');
const session = new Session(client);

const WORDS = /** @type {Record<string, string>} */ ({
  connecting: 'Connecting',
  live: 'Live',
  reconnecting: 'Reconnecting',
  overloaded: 'Server is full',
  offline: 'Offline',
});
const connections = { activity: /** @type {string} */ ('connecting'), job: 'live' };

/** @type {JobView|null} */ let view = null;

const composer = new Composer(client, { base, isKeyed: isSignedIn, onSubmitted: (job) => go({ job: job.id }) });
const list = new JobList(client, {
  linkTo: (id) => addressWith({ job: id }),
  onFilter: (filter) => go(filter, 'replace'),
});

/** What the address asks for. */
function wanted() {
  const query = new URLSearchParams(location.search);
  const status = query.get('status') ?? '';
  return {
    job: query.get('job') ?? '',
    status: STATUSES.includes(status) ? status : '',
    kind: query.get('kind') ?? '',
  };
}

/** @param {Record<string, string>} changes */
function addressWith(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  return text ? `?${text}` : './';
}

/** @param {Record<string, string>} changes @param {'push'|'replace'} [how] */
function go(changes, how = 'push') {
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', addressWith(changes));
  show(how === 'push');
}

/** Shows what the address asks for.
 * @param {boolean} moveFocus to the new heading, for whoever does not see it change */
function show(moveFocus) {
  const { job, ...filter } = wanted();
  list.show(filter, job);
  if (job === (view?.id ?? '') && main.querySelector('#title')) return;
  view?.close();
  view = null;
  connections.job = 'live';
  if (job) showJob(job);
  else showComposer();
  showConnection();
  if (moveFocus) main.querySelector('h1')?.focus({ preventScroll: true });
  if (moveFocus) window.scrollTo(0, 0);
}

/** @param {string} id */
function showJob(id) {
  view = new JobView(id, client, {
    base,
    isKeyed: isSignedIn,
    go: (next) => {
      go({ job: next });
      list.refresh();
    },
    onRefused: () => session.ask(),
    onConnection: (connection) => {
      connections.job = connection === 'closed' ? 'live' : connection;
      showConnection();
    },
  });
  fill(main, view.element);
}

async function showComposer() {
  document.title = 'Jobcast';
  fill(main, composer.element);
  await composer.open();
  if (document.activeElement === document.body) main.querySelector('textarea')?.focus({ preventScroll: true });
}

function showConnection() {
  const order = ['offline', 'overloaded', 'reconnecting', 'connecting', 'live'];
  const worst = order.find((name) => Object.values(connections).includes(name)) ?? 'live';
  const badge = one('#badge');
  if (badge.dataset.connection === worst) return;
  badge.dataset.connection = worst;
  setText(one('.badge-text', badge), WORDS[worst]);
}

/** Links within the page change the address without loading it anew. @param {MouseEvent} event */
function follow(event) {
  const link = event.target instanceof Element ? event.target.closest('a[data-route]') : null;
  if (
    !link ||
    event.defaultPrevented ||
    event.button ||
    event.metaKey ||
    event.ctrlKey ||
    event.shiftKey ||
    event.altKey
  )
    return;
  event.preventDefault();
  const asked = new URLSearchParams(new URL(/** @type {HTMLAnchorElement} */ (link).href).search);
  go({ job: asked.get('job') ?? '' });
}

fill(one('#jobs'), ...list.parts);
installThemeButton(one('#theme'));
document.addEventListener('click', follow);
window.addEventListener('popstate', () => show(true));
client.activity(
  (event) => {
    list.hear(event);
    view?.nudge();
  },
  {
    onConnection: (connection) => {
      connections.activity = connection;
      showConnection();
    },
    onError: (error) => {
      if (error.status === 401) session.ask();
    },
  },
);
client.kinds().then(
  (kinds) => list.setKinds(kinds.map(({ name }) => name)),
  (error) => {
    if (error.status === 401) session.ask();
  },
);
show(false);
