// Calls written as data, made through the official Node library; `python/calls.py` says how they are written.
import { readFileSync } from 'node:fs';
import path from 'node:path';

const LISTS = new Set([
  'address_configurations', 'bindings', 'configuration', 'conversation_with_participants', 'conversations', 'credentials',
  'delivery_receipts', 'messages', 'notifications', 'participant_conversations', 'participants', 'roles', 'services',
  'user_conversations', 'users', 'webhooks',
]);

export function read(house, name) {
  return JSON.parse(readFileSync(path.join(house.shared, name), 'utf8'));
}

// `user_conversations` and `MessagingBinding.ProxyAddress` as the library calls them.
export const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const parameter = (name) => name.split('.').map((part) => part[0].toLowerCase() + part.slice(1)).join('.');

export class Calls {
  constructor(client, known) {
    Object.assign(this, { client, known });
  }

  // A value with its names replaced and its long texts written out.
  filled(value, numbers = {}) {
    if (Array.isArray(value)) return value.map((each) => this.filled(each, numbers));
    if (typeof value !== 'string') return value;
    const long = /^(x|json)\*(\d+)$/.exec(value);
    if (long) return long[1] === 'x' ? 'x'.repeat(long[2]) : `"${'x'.repeat(long[2])}"`;
    return value
      .replace(/\{n:0(\d+)\}/g, (_, width) => String(numbers.n).padStart(Number(width), '0'))
      .replace(/\$([a-z_]+)/g, (_, name) => this.known[name]);
  }

  at(way) {
    let found = this.client.conversations.v1;
    for (const word of way) {
      if (word === '()') found = found();
      else if (LISTS.has(word)) found = found[camel(word)];
      else found = found(this.filled(word).replaceAll(' ', '%20'));
    }
    return found;
  }

  make(call, numbers) {
    const given = Object.entries(call.with ?? {}).map(([name, value]) => [parameter(name), this.filled(value, numbers)]);
    const name = { delete: 'remove' }[call.do] ?? call.do;
    return this.at(call.at)[name](...(given.length || name === 'create' || name === 'update' ? [Object.fromEntries(given)] : []));
  }

  // A request that the library has no function for, through its client all the same: status and JSON.
  async raw(call) {
    const [method, where] = call.raw;
    const data = Object.fromEntries(Object.entries(call.with).map(([name, value]) => [name, this.filled(value)]));
    const uri = this.client.conversations.baseUrl + this.filled(where);
    const answer = await this.client.request({ method: method.toLowerCase(), uri, data });
    return { status: answer.statusCode, said: typeof answer.body === 'string' ? JSON.parse(answer.body) : answer.body };
  }

  // Makes what is to be there, and remembers its SIDs.
  async states(calls) {
    for (const call of calls) {
      for (let n = 0; n < (call.times ?? 1); n += 1) this.known[call.as] = (await this.make(call, { n })).sid;
    }
  }
}
