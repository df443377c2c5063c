// Two people with the unmodified SDK, a phone on SMS, and the real daemon: everything that the protocol carries. Run once
// for each version of the SDK; what a version cannot do yet is not asked of it. The files are run in this order; at the
// end, `table.mjs` says what must have been used, and in which test.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import './scene.mjs';
import './talk.mjs';
import './files.mjs';
import './rooms.mjs';
import './users.mjs';
import './phone.mjs';
import './away.mjs';
import { VERSION, VERSIONS, sdk } from './people.mjs';
import { emitted, members, used, watch } from './surface.mjs';
import { APART, REASONS, USED } from './table.mjs';

watch(sdk);
const require = createRequire(import.meta.url);

test('every method, property and event of the SDK is used or named with a reason', (context) => {
  const there = new Set([...members(sdk), ...emitted]);
  const missed = [...there].filter((member) => !used.has(member) && !APART[member]);
  assert.deepEqual(missed, [], 'neither used nor named');
  const elsewhere = [...there].filter((member) => USED[member] && !used.get(member)?.has(USED[member]));
  assert.deepEqual(elsewhere, [], 'not used in the test that the table names');
  assert.deepEqual([...there].filter((member) => !USED[member] && !APART[member]), [], 'used, and not in the table');
  assert.deepEqual(Object.keys(APART).filter((member) => used.has(member)), [], 'used after all');
  const any = new Set(VERSIONS.flatMap((version) => [...members(require(`sdk-${version}`))]));
  const unknown = Object.keys({ ...USED, ...APART }).filter((member) => !any.has(member) && !emitted.has(member));
  assert.deepEqual(unknown, [], 'in no version');
  // A version tells no reason for what it does not have.
  const reasons = REASONS.filter(({ member }) => there.has(member)).map(({ reason }) => reason);
  assert.deepEqual(reasons.filter((reason) => !used.has(reason)), [], 'reasons of updates that nobody was told');
  const count = (kind) => [...there].filter((member) => used.has(member) && kind.test(member)).length;
  const counts = [`${count(/\(\)$/)} methods`, `${count(/\.\w+$/)} properties`, `${count(/"$/)} events`];
  const apart = [...there].filter((member) => APART[member]).length;
  context.diagnostic(`counted: SDK ${VERSION}: ${counts.join(', ')} and ${reasons.length} reasons of updates used, ${apart} named with a reason`);
});
