// The page of one node: asks its own control API once a second, and tells it what its host wants.

const ASK_EVERY_MS = 1000;
const at = (id) => document.getElementById(id);
const kbit = (kbps) => `${Math.round(kbps).toLocaleString('en')} kbit/s`;
const short = (uuid) => uuid?.slice(0, 8) ?? '–';

async function ask(method, path, body) {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(answer?.detail ?? `${response.status} ${response.statusText}`);
  return answer;
}

/** Does what the host asked for; what goes wrong is said until the next deed. */
async function act(method, path, body) {
  try {
    await ask(method, path, body);
    failure = '';
  } catch (error) {
    failure = error.message;
  }
  await refresh();
}

let failure = '';
let leaving = false;

function set(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
}

function standing(node) {
  if (node.state === 'draining') return ['leaving', 'away'];
  if (!node.joined) return node.control_plane_up && node.problem ? ['refused', 'refused'] : ['joining…', 'away'];
  return node.control_plane_up ? ['joined', 'joined'] : ['gateway away, streams go on', 'away'];
}

function showNode(node) {
  const [word, kind] = standing(node);
  set('standing', word);
  at('standing').dataset.kind = kind;
  set('notice', failure || node.problem || '');
  set('gateway', node.gateway);
  at('gateway').href = node.gateway;
  set('role', node.role);
  set('supernode', node.primary_supernode ?? (node.role === 'supernode' ? 'none: it is one itself' : 'none yet'));
  set('media', node.media_url);
  set('rtmp', node.rtmp_url);
  set('uuid', node.uuid);
  at('drain').disabled = node.state === 'draining';
  const used = node.promised_kbps + node.viewer_kbps;
  set('used', kbit(used));
  set('limit', kbit(node.limit_kbps));
  at('meter').value = node.limit_kbps ? Math.min(1, used / node.limit_kbps) : 0;
}

function showSettings({ upstream_limit, upstream: { source, measured_kbps } }) {
  const measured = measured_kbps === null ? '' : ` ${kbit(measured_kbps)}`;
  const words = {
    told: 'As you told it.',
    measuring: measured ? `Being measured: at least${measured} so far…` : 'Being measured…',
    measured: `Four fifths of the${measured} measured to the gateway.`,
  };
  set('source', words[source]);
  const input = at('kbps');
  if (document.activeElement !== input && !input.dataset.touched) input.value = upstream_limit;
}

function button(text, does) {
  const element = document.createElement('button');
  element.type = 'button';
  element.textContent = text;
  element.addEventListener('click', does);
  return element;
}

function cell(...content) {
  const element = document.createElement('td');
  element.append(...content);
  return element;
}

function deeds({ slug, state, origin, provider, kept }) {
  const path = `/v1/streams/${slug}`;
  if (state === 'paused') return [button('Resume', () => act('PUT', path, { streaming: true }))];
  if (origin !== null && provider === null) return ['published here'];
  const pause = button('Pause', () => act('PUT', path, { streaming: false }));
  const carried = provider !== null || kept;
  return carried ? [button('Let go', () => act('DELETE', path)), pause] : [button('Pull', () => act('POST', path)), pause];
}

function row(stream) {
  const { slug, state, provider, standby, hops, viewers, subscribers, kbps, kept, problem } = stream;
  const line = document.createElement('tr');
  const name = cell(slug);
  if (problem) {
    const why = document.createElement('small');
    why.textContent = problem;
    name.append(why);
  }
  const total = viewers.flv + viewers.rtmp + viewers.hls;
  const facts = [kept ? `${state}, kept` : state, short(provider), short(standby), hops ?? '–', total, subscribers, kbps];
  line.append(name, ...facts.map((fact) => cell(String(fact))), cell(...deeds(stream)));
  return line;
}

let shown = '';

function showStreams({ items }) {
  // A row that is made anew would lose the focus and a click in hand.
  const now = JSON.stringify(items);
  if (now === shown) return;
  shown = now;
  document.querySelector('table').hidden = items.length === 0;
  at('none').hidden = items.length > 0;
  const focused = [...document.querySelectorAll('tbody button')].indexOf(document.activeElement);
  document.querySelector('tbody').replaceChildren(...items.map(row));
  document.querySelectorAll('tbody button')[focused]?.focus();
}

async function refresh() {
  try {
    const paths = ['/v1/nodes', '/v1/settings', '/v1/streams'];
    const [nodes, settings, streams] = await Promise.all(paths.map((path) => ask('GET', path)));
    showNode(nodes.items[0]);
    showSettings(settings);
    showStreams(streams);
  } catch {
    set('standing', leaving ? 'has left' : 'this node does not answer');
    at('standing').dataset.kind = 'refused';
  }
}

at('kbps').addEventListener('input', ({ target }) => { target.dataset.touched = 'yes'; });

at('lend').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = at('kbps');
  delete input.dataset.touched;
  act('PUT', '/v1/settings', { upstream_limit: input.valueAsNumber });
});

at('pull').addEventListener('submit', (event) => {
  event.preventDefault();
  act('POST', `/v1/streams/${at('slug').value}`);
  event.target.reset();
});

at('drain').addEventListener('click', () => {
  if (!confirm('Leave the network? Those who pull from here are moved first, then this program ends.')) return;
  leaving = true;
  act('POST', '/v1/drain');
});

refresh();
setInterval(refresh, ASK_EVERY_MS);
