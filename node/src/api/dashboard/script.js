'use strict';
// What a plot shows, how many streams are listed, and how often the node is
// asked. A browser opens six connections to one host: three follow streams.
const POINTS = 120, LISTED = 100, FOLLOWED = 3, PAUSE_MS = 3000;
const cards = new Map();
const visible = new Set();
const by = id => document.getElementById(id);
const count = number => Number(number).toLocaleString('en');

// Names and values are whatever a publisher wrote: they are only ever text.
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function link(text, href) {
  const made = element('a', text);
  made.href = href;
  return made;
}

async function ask(path) {
  const answer = await fetch(path, {cache: 'no-store'});
  if (!answer.ok) throw new Error(path + ': ' + answer.status);
  return answer.json();
}

function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  while (number >= 1000 && at + 1 < units.length) { number /= 1000; at++; }
  return (at ? number.toFixed(1) : number) + ' ' + units[at];
}

function age(seconds) {
  for (const [unit, length] of [['d', 86400], ['h', 3600], ['min', 60]])
    if (seconds >= length) return Math.floor(seconds / length) + ' ' + unit;
  return seconds + ' s';
}

function showNode(node) {
  const rows = [
    ['peer id', node.peer_id],
    ['version', node.version + ', up ' + age(node.uptime_s)],
    ['roles', node.roles.join(', ')],
    ['peers', count(node.connections)],
    ['reachable', node.nat.reachability],
    ['streams', count(node.streams) + ', ' + bytes(node.disk_bytes) + ' on disk'],
    ...node.addresses.map(address => ['address', address]),
  ];
  by('node').replaceChildren(...rows.flatMap(([name, text]) => [element('dt', name), element('dd', text)]));
}

function isWhole(stream) {
  return stream.disputed_from === null || stream.disputed_from === undefined;
}

function syncState(stream) {
  if (stream.too_new) return ['too new for this version: ' + stream.too_new, 'bad'];
  if (stream.recovered)
    return ['ended by its recovery key with ' + count(stream.recovered.size), 'bad'];
  if (!isWhole(stream))
    return ['two histories: disputed from ' + count(stream.disputed_from), 'bad'];
  if (stream.reopening) return ['reopening', 'bad'];
  if (stream.stopped) return ['stopped', 'bad'];
  if (!stream.root) return ['no head has come yet', 'busy'];
  if (stream.closed && stream.synced) return ['closed', 'good'];
  if (stream.synced) return ['in step', 'good'];
  return [count(stream.missing_records) + ' missing', 'busy'];
}

function usableSize(stream) {
  return Math.min(stream.size, stream.disputed_from ?? stream.size);
}

class Card {
  constructor(stream) {
    this.points = [];
    this.item = element('li');
    this.name = element('span');
    const title = element('h3');
    title.append(this.name, ' ', element('span', stream.id.slice(-8), 'id'));
    title.title = stream.id;
    this.sync = element('p');
    this.size = element('p', '', 'size');
    this.terms = element('p', '', 'size');
    this.value = element('p', '–', 'value');
    this.time = element('p', '\u00a0', 'time');
    this.plot = by('plot').content.firstElementChild.cloneNode(true);
    this.line = this.plot.firstElementChild;
    this.path = '/v1/streams/' + stream.id;
    const file = format => this.path + '/observations?format=' + format;
    const links = element('p', undefined, 'links');
    links.append(link('CSV', file('csv')), link('Parquet', file('parquet')));
    this.item.append(title, this.sync, this.size, this.terms, this.value, this.time, this.plot, links);
    this.item.dataset.id = stream.id;
    this.update(stream);
  }

  update(stream) {
    this.stream = stream;
    this.name.textContent = stream.name || '(not known yet)';
    const [text, kind] = syncState(stream);
    this.sync.textContent = stream.role + (stream.followed || stream.role === 'publisher' ? '' : ', not followed') + ', ' + text;
    this.sync.className = kind;
    this.size.textContent = count(stream.size) + ' records, ' + bytes(stream.record_bytes);
    this.terms.textContent = [...stream.tags, stream.licence].filter(text => text).join(' · ');
  }

  follow() {
    if (this.source) return;
    const first = Math.max(0, usableSize(this.stream) - POINTS);
    this.points = [];
    this.source = new EventSource(this.path + '/live?from=' + first);
    this.source.onmessage = event => this.take(event.data);
    this.source.onerror = event => {
      // With data it is the node's last word; without, the browser comes back
      // by itself unless it was refused.
      if (event.data || this.source.readyState === EventSource.CLOSED) this.leave();
    };
  }

  leave() {
    if (!this.source) return;
    this.source.close();
    this.source = undefined;
    this.known = undefined;
  }

  // The newest ones, where no connection is left to follow the stream.
  async look() {
    const size = usableSize(this.stream);
    if (this.known === size || !this.stream.root || this.stream.too_new) return;
    this.known = size;
    try {
      const answer = await fetch(this.path + '/observations?format=ndjson&order=desc&limit=' + POINTS, {cache: 'no-store'});
      if (!answer.ok || this.source) return;
      this.points = [];
      const lines = (await answer.text()).split('\n').filter(line => line);
      if (!this.source) lines.reverse().forEach(line => this.take(line));
    } catch {
      this.known = undefined;
    }
  }

  take(text) {
    const number = this.stream.columns ? this.row(text) : this.single(text);
    this.points.push(typeof number === 'number' ? number : NaN);
    if (this.points.length > POINTS) this.points.shift();
    if (!this.drawing) this.drawing = requestAnimationFrame(() => this.draw());
  }

  single(text) {
    const record = JSON.parse(text);
    // The exact token: a number may have more digits than a script keeps.
    const token = text.slice(text.indexOf('"value":') + 8, -1);
    this.newest = {time: record.time, text: typeof record.value === 'string' ? record.value : token};
    return record.value;
  }

  // The columns with their names; the first one of numbers is drawn.
  row(text) {
    const exact = new Map();
    // Where a browser tells it, numbers have their tokens here, too.
    const record = JSON.parse(text, (name, value, from) => {
      if (typeof value === 'number' && from) exact.set(name, from.source);
      return value;
    });
    const shown = ({name, unit}) => {
      const value = record[name];
      if (value === null) return name + ' –';
      const token = typeof value === 'string' ? value : exact.get(name) ?? JSON.stringify(value);
      return name + ' ' + token + (unit ? ' ' + unit : '');
    };
    const columns = this.stream.columns;
    this.newest = {time: record.time, text: columns.map(shown).join(' · ')};
    const drawn = columns.find(column => column.type === 'number' || column.type === 'integer');
    return drawn && record[drawn.name];
  }

  draw() {
    this.drawing = undefined;
    const unit = this.stream.unit ? ' ' + this.stream.unit : '';
    this.value.textContent = this.newest.text.slice(0, 200) + unit;
    this.time.textContent = this.newest.time.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC');
    const numbers = this.points.filter(Number.isFinite);
    if (!numbers.length) return;
    const low = Math.min(...numbers), high = Math.max(...numbers);
    const height = value => high > low ? 95 - 90 * ((value - low) / (high - low)) : 50;
    const places = this.points.map((value, at) => [at, value]).filter(([, value]) => Number.isFinite(value));
    this.line.setAttribute('points', places.map(([at, value]) => at + ',' + height(value).toFixed(2)).join(' '));
    this.plot.setAttribute('aria-label', 'the last ' + numbers.length + ' values, from ' + low + ' to ' + high);
  }
}

const seen = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries)
    isIntersecting ? visible.add(target.dataset.id) : visible.delete(target.dataset.id);
  share();
});

// The first few streams that can be seen are followed; the others are asked
// for when they have grown.
function share() {
  let free = document.hidden ? 0 : FOLLOWED;
  const looked = [];
  for (const item of by('streams').children) {
    const card = cards.get(item.dataset.id);
    const wanted = visible.has(item.dataset.id) && card.stream.root && !card.stream.too_new && isWhole(card.stream);
    if (wanted && free > 0) {
      free--;
      card.follow();
    } else {
      card.leave();
      if (visible.has(item.dataset.id) && !document.hidden) looked.push(card);
    }
  }
  // One after the other: they share what connections are left.
  looked.reduce((before, card) => before.then(() => card.look()), Promise.resolve());
}

function showStreams(streams) {
  const text = by('filter').value.trim().toLowerCase();
  const wanted = streams.filter(stream => stream.name.toLowerCase().includes(text) || stream.id.includes(text) || stream.tags.some(tag => tag.toLowerCase().includes(text)));
  const shown = wanted.slice(0, LISTED);
  by('count').textContent = shown.length === streams.length ? '' : shown.length + ' of ' + count(streams.length) + ' are shown';
  const ids = new Set(shown.map(stream => stream.id));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.leave();
    seen.unobserve(card.item);
    card.item.remove();
    visible.delete(id);
    cards.delete(id);
  }
  shown.forEach((stream, at) => {
    let card = cards.get(stream.id);
    if (card) {
      card.update(stream);
    } else {
      card = new Card(stream);
      cards.set(stream.id, card);
      seen.observe(card.item);
    }
    const list = by('streams');
    if (list.children[at] !== card.item) list.insertBefore(card.item, list.children[at] || null);
  });
  share();
}

let listed = [];
async function refresh() {
  try {
    const [node, streams] = [await ask('/v1/node'), await ask('/v1/streams')];
    listed = streams;
    showNode(node);
    showStreams(listed);
    by('state').textContent = streams.length ? 'running' : 'running; make a stream with: headwater stream create NAME';
    by('state').className = 'good';
  } catch (error) {
    by('state').textContent = 'the node does not answer: ' + error.message;
    by('state').className = 'bad';
  }
}

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, PAUSE_MS);
}

by('filter').addEventListener('input', () => showStreams(listed));
document.addEventListener('visibilitychange', share);
watch();
