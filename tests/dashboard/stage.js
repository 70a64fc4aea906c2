'use strict';
// Larder between a small backend and clients, as the browser test plays on it.

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { spawn } = require('child_process');

const PATIENCE_MS = 30000;

const RULES = `
rules:
  - name: event-list
    match: GET /api/events
    key: events-list:{query.page|1}
    ttl: 60s
  - name: event
    match: GET /api/events/{id}
    key: event:{id}
    ttl: 30m
  - name: profile
    match: GET /api/profile
    key: profile
    ttl: 5m
  - name: banner
    match: GET /api/banner
    key: banner
    ttl: 10s
  - name: quiet
    match: GET /api/quiet/{rest*}
    ttl: 1m
  - name: event-write
    match: POST|PUT|PATCH|DELETE /api/events/{id?}
    purge: ["event:{id}", "events-list:*"]
`;

/// An app that takes some time for each answer.
class Backend {
  async start() {
    this.server = http.createServer((request, response) => {
      request.resume();
      const answer = () => {
        const fields = { 'Content-Type': 'application/json' };
        if (request.url.startsWith('/api/banner')) fields['Set-Cookie'] = 'seen=1';
        response.writeHead(request.url.includes('broken') ? 503 : 200, fields);
        response.end(JSON.stringify({ url: request.url, text: 'x'.repeat(400) }));
      };
      setTimeout(answer, request.method === 'GET' ? 15 + 25 * Math.random() : 10);
    });
    await new Promise(resolve => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }
  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/// The built program. `more` are further options of the configuration.
class Larder {
  constructor(binary, upstream, more = '') {
    this.binary = binary;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'larder-dashboard-'));
    this.file = path.join(this.folder, 'larder.yaml');
    this.rest = `workers: 2\nupstream: ${upstream}\n${more}${RULES}`;
    this.agent = new http.Agent({ keepAlive: true });
  }

  /// Again after an `end`: on the admin port that it had, where the page still asks.
  async start() {
    fs.writeFileSync(this.file, `listen: 127.0.0.1:0\nadmin: 127.0.0.1:${this.adminPort || 0}\n${this.rest}`);
    this.process = spawn(this.binary, ['--config', this.file], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.ended = new Promise(resolve => this.process.once('exit', resolve));
    let log = '';
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('larder does not get ready:\n' + log)), PATIENCE_MS);
      this.process.once('exit', () => reject(new Error('larder has ended:\n' + log)));
      this.process.stderr.on('data', data => {
        log += data;
        const ready = log.match(/ready listen=127\.0\.0\.1:(\d+) admin=127\.0\.0\.1:(\d+)/);
        if (!ready) return;
        clearTimeout(late);
        [this.port, this.adminPort] = [Number(ready[1]), Number(ready[2])];
        resolve();
      });
    });
    this.admin = `http://127.0.0.1:${this.adminPort}`;
  }

  async end() {
    this.process.kill('SIGTERM');
    await this.ended;
  }

  async stop() {
    if (this.process.exitCode === null) await this.end();
    this.agent.destroy();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /// One request through Larder; its status.
  request(method, target, fields = {}) {
    return new Promise((resolve, reject) => {
      const request = http.request({ port: this.port, host: '127.0.0.1', method, path: target, headers: fields, agent: this.agent }, response => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      });
      request.setTimeout(PATIENCE_MS, () => request.destroy(new Error(`${method} ${target} is not answered`)));
      request.on('error', reject);
      request.end(method === 'GET' ? undefined : '{}');
    });
  }

  async purge(order) {
    const answer = await fetch(this.admin + '/purge', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(order) });
    if (answer.status !== 200) throw new Error('a purge is answered ' + answer.status);
  }

  async metrics() {
    const text = await (await fetch(this.admin + '/metrics')).text();
    const series = [];
    for (const line of text.split('\n')) {
      const parts = line.match(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/);
      if (parts) series.push({ name: parts[1], labels: parts[2] || '', value: Number(parts[3]) });
    }
    /// The sum of a metric over all series whose labels contain each of these: 'rule="event"'.
    return (name, ...labels) => series.filter(one => one.name === name && labels.every(label => one.labels.includes(label)))
      .reduce((sum, one) => sum + one.value, 0);
  }
}

/// Mixed reads and writes, `count` of them by `clients` at once; some ids are asked for more often than others.
async function play(larder, count, clients = 8) {
  let left = count;
  const run = async () => {
    while (left-- > 0) {
      const chance = Math.random(), id = Math.floor(40 * Math.random() ** 3);
      if (chance < 0.6) await larder.request('GET', `/api/events/${id}`);
      else if (chance < 0.78) await larder.request('GET', `/api/events?page=${1 + id % 5}`);
      else if (chance < 0.88) await larder.request('GET', '/api/profile', { Cookie: 'sid=1' });
      else if (chance < 0.93) await larder.request('GET', '/api/banner');
      else if (chance < 0.96) await larder.request('GET', '/elsewhere');
      else if (chance < 0.97) await larder.request('GET', '/broken');
      else await larder.request('PATCH', `/api/events/${id}`);
    }
  };
  await Promise.all(Array.from({ length: clients }, run));
}

/// Traffic as of an ordinary day, which swells and ebbs, for so many seconds.
async function stroll(larder, seconds) {
  const end = Date.now() + seconds * 1000;
  const run = async () => {
    while (Date.now() < end) {
      const chance = Math.random(), id = Math.floor(150 * Math.random() ** 3);
      if (chance < 0.62) await larder.request('GET', `/api/events/${id}`);
      else if (chance < 0.9) await larder.request('GET', `/api/events?page=${1 + id % 5}`);
      else if (chance < 0.95) await larder.request('GET', '/api/profile', { Cookie: 'sid=1' });
      else if (chance < 0.97) await larder.request('GET', '/api/banner');
      else if (chance < 0.99) await larder.request('GET', '/elsewhere');
      else if (chance < 0.995) await larder.request('PATCH', `/api/events/${id}`);
      const swell = 1.3 + Math.sin(Date.now() / 25000) + 0.3 * Math.sin(Date.now() / 5000);
      await new Promise(resolve => setTimeout(resolve, 10 + 120 * Math.random() * Math.max(0.1, 2.7 - swell)));
    }
  };
  await Promise.all(Array.from({ length: 10 }, run));
}

module.exports = { Backend, Larder, play, stroll, PATIENCE_MS };
