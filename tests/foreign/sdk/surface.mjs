// What an application can see of the SDK, read from the SDK's own classes, and what of it the suite has made use of: a
// method that it called and that came to a good end, a property that it read, an event that a listener of its own heard.
// What the SDK does within itself does not count.
import { beforeEach } from 'node:test';

// What a class has from those that all emitters inherit, and constants.
const NO_SURFACE = new Set(['CancellablePromise', 'NotificationTypes']);
const LISTENING = ['on', 'once', 'addListener', 'onWithReplay', 'onceWithReplay', 'addListenerWithReplay'];
const REPLAYING = LISTENING.filter((name) => name.endsWith('WithReplay'));

// Of each member, `Class.name` with what it is, in which tests it was used.
export const used = new Map();
let running = '';

beforeEach((test) => { running = test.name; });

function note(member, test = running) {
  if (!used.has(member)) used.set(member, new Set());
  used.get(member).add(test);
}

// Whether the code that called is the suite's own and no package's.
function ours(callee) {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 1;
  const at = {};
  Error.captureStackTrace(at, callee);
  Error.stackTraceLimit = stackTraceLimit;
  return !at.stack.includes('node_modules');
}

const method = (name, key) => `${name}.${key}()`;
const property = (name, key) => `${name}.${key}`;
const event = (name, key) => `${name} "${key}"`;
const isPublic = (key) => !key.startsWith('_') && key !== 'constructor';

function counted(member, work) {
  return function wrapper(...args) {
    const mine = ours(wrapper);
    const test = running;
    const result = Reflect.apply(work, this, args);
    if (!mine) return result;
    const good = (value) => {
      page(value);
      note(member, test);
    };
    if (typeof result?.then === 'function') result.then(good, () => {});
    else good(result);
    return result;
  };
}

// What an update was told to be about: of which thing, and what of it.
function reasons(told) {
  if (!told?.updateReasons) return;
  const [of] = Object.keys(told).filter((key) => key !== 'updateReasons');
  for (const reason of told.updateReasons) note(`${of} updated: ${reason}`);
}

// Pages have no class that is exported, or none at all.
function page(value) {
  if (typeof value?.nextPage !== 'function' || Object.hasOwn(value, 'seen')) return;
  Object.defineProperty(value, 'seen', { value: true });
  for (const key of PAGE_METHODS) value[key] = counted(method('Paginator', key), value[key].bind(value));
  for (const key of PAGE_PROPERTIES) {
    const held = value[key];
    Object.defineProperty(value, key, {
      get: function get() {
        if (ours(get)) note(property('Paginator', key));
        return held;
      },
    });
  }
}

const PAGE_METHODS = ['nextPage', 'prevPage'];
const PAGE_PROPERTIES = ['items', 'hasNextPage', 'hasPrevPage'];

// The classes that an SDK exports, each with those it is made of.
function classes(sdk) {
  const emitter = Object.getPrototypeOf(sdk.Conversation.prototype);
  const found = [];
  for (const [name, its] of Object.entries(sdk)) {
    if (typeof its !== 'function' || NO_SURFACE.has(name) || name === 'RestPaginator') continue;
    const layers = [];
    for (let layer = its; layer.prototype && layer.prototype !== emitter; layer = Object.getPrototypeOf(layer)) layers.push(layer);
    found.push({ name, its, layers });
  }
  return { emitter, found };
}

// Every public member of an SDK, as `note` names them.
export function members(sdk) {
  const all = new Set();
  for (const { name, layers } of classes(sdk).found) {
    for (const layer of layers) {
      for (const [key, what] of Object.entries(Object.getOwnPropertyDescriptors(layer.prototype)).filter(([key]) => isPublic(key))) {
        if (typeof what.value === 'function') all.add(method(name, key));
        else if (what.get) all.add(property(name, key));
      }
      for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(layer)).filter(([key]) => isPublic(key))) {
        if (typeof value === 'function') all.add(method(name, key));
        // Names of events are constants of the class that emits them.
        else if (value === key) all.add(event(name, key));
      }
    }
  }
  for (const key of PAGE_METHODS) all.add(method('Paginator', key));
  for (const key of PAGE_PROPERTIES) all.add(property('Paginator', key));
  const { emitter } = classes(sdk);
  for (const key of REPLAYING.filter((key) => emitter[key])) all.add(method('Emitter', key));
  return all;
}

// What was emitted, by whom: users have events that no constant names.
export const emitted = new Set();

// From here on, what is used of an SDK is counted.
export function watch(sdk) {
  const { emitter, found } = classes(sdk);
  for (const { name, layers } of found) {
    for (const layer of layers) {
      for (const [key, what] of Object.entries(Object.getOwnPropertyDescriptors(layer.prototype)).filter(([key]) => isPublic(key))) {
        if (typeof what.value === 'function') layer.prototype[key] = counted(method(name, key), what.value);
        else if (what.get) {
          Object.defineProperty(layer.prototype, key, {
            ...what,
            get: function get() {
              if (ours(get)) note(property(name, key));
              return what.get.call(this);
            },
          });
        }
      }
      for (const [key, what] of Object.entries(Object.getOwnPropertyDescriptors(layer)).filter(([key]) => isPublic(key))) {
        if (typeof what.value === 'function' && key !== 'prototype') layer[key] = counted(method(name, key), what.value);
      }
    }
  }
  const nameOf = (who) => found.find(({ its }) => who instanceof its)?.name;
  for (const key of LISTENING.filter((key) => emitter[key])) {
    const listen = emitter[key];
    emitter[key] = function wrapper(what, listener) {
      const name = nameOf(this);
      if (!name || !ours(wrapper)) return listen.call(this, what, listener);
      if (REPLAYING.includes(key)) note(method('Emitter', key));
      const heard = function heard(...args) {
        note(event(name, what));
        reasons(args[0]);
        return listener.apply(this, args);
      };
      // As the emitter knows a listener in other clothes, so that it can be taken off.
      heard.listener = listener;
      return listen.call(this, what, heard);
    };
  }
  const { emit } = emitter;
  emitter.emit = function wrapper(what, ...args) {
    const name = nameOf(this);
    if (name) emitted.add(event(name, what));
    return emit.call(this, what, ...args);
  };
}
