// Says of each test how it went, and ends with a plain line of how many passed and failed and of what tests counted.
// What an answer said beyond its status.
const said = (body) => (body ? `\n    ${JSON.stringify(body)}` : '');

export default async function* report(events) {
  let passed = 0;
  let failed = 0;
  const counted = [];
  for await (const { type, data } of events) {
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    if (type === 'test:diagnostic' && data.message.startsWith('counted: ')) counted.push(data.message.slice(9));
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // A file, and a test that has others in it, count by what is in them.
    const outer = data.details?.type === 'suite';
    if (data.skip !== undefined) {
      yield `skip ${data.name}: ${data.skip}\n`;
      continue;
    }
    const word = type === 'test:pass' ? 'ok  ' : 'FAIL';
    if (!outer) type === 'test:pass' ? (passed += 1) : (failed += 1);
    yield `${'  '.repeat(data.nesting)}${word} ${data.name}\n`;
    const error = data.details?.error;
    if (type === 'test:fail' && !outer) yield `${error?.cause?.stack ?? error?.stack ?? error}${said(error?.cause?.body)}\n`;
  }
  yield `${[`${passed} passed, ${passed + failed ? failed : 1} failed`, ...counted].join('; ')}\n`;
}
