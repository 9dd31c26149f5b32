// The daemons of a client each, as a user starts and stops them.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

// What is meant for these tests configures no daemon.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SHOAL_')));

export class Daemon {
  constructor(shoal, place, name, port) {
    Object.assign(this, { shoal, place, name, port });
  }

  async start() {
    const args = ['daemon', '--dir', this.name, '--api', `127.0.0.1:${this.port}`, '--stop-with-stdin', '--json'];
    this.child = spawn(this.shoal, args, { cwd: this.place, env, stdio: ['pipe', 'pipe', 'inherit'] });
    const seen = new Set();
    const waiting = [];
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      seen.add(JSON.parse(line).event);
      waiting.filter(({ event }) => seen.has(event)).forEach(({ done }) => done());
    });
    this.until = (event) => new Promise((done, failed) => {
      if (seen.has(event)) return done();
      waiting.push({ event, done });
      setTimeout(() => failed(new Error(`${this.name} is not ${event}`)), 90_000).unref();
    });
    await this.until('serving');
  }

  async stop() {
    this.child.stdin.end();
    if (this.child.exitCode === null) await once(this.child, 'exit');
  }

  async json(...args) {
    const { stdout } = await run(this.shoal, [...args, '--dir', this.name, '--json'], { cwd: this.place, env });
    return JSON.parse(stdout);
  }

  // One that opens the page once.
  async link() {
    return (await this.json('web')).link;
  }

  token() {
    return readFileSync(path.join(this.place, this.name, 'api.token'), 'utf8').trim();
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }
}
