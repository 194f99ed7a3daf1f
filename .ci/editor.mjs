// Drives a real YAML language server, as an editor does, over the configuration of a sample: a key is completed, its
// meaning is shown, a typo is found. The schema is the one that the file's first line names; nothing else is set up.
//
// node .ci/editor.mjs <language server> prints what the editor would show; .ci/test compares it with what
// framework/mainspring/docs/editor.md says.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const LIMIT_MS = 60_000;
const path = resolve('configs/kafka_service.yaml');
const uri = pathToFileURL(path).href;
const text = readFileSync(path, 'utf8');

const server = spawn(process.execPath, [process.argv[2], '--stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = new Map();
const diagnosed = [];
let buffered = Buffer.alloc(0);
let lastId = 0;

const limit = setTimeout(() => fail(`no answer within ${LIMIT_MS / 1000} s`), LIMIT_MS);

function fail(reason) {
    console.error(reason);
    server.kill();
    process.exit(1);
}

function write(message) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    server.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    server.stdin.write(body);
}

function request(method, params) {
    const id = ++lastId;
    write({ id, method, params });
    return new Promise((answered) => waiting.set(id, answered));
}

function handle(message) {
    if (message.method === 'textDocument/publishDiagnostics') {
        diagnosed.shift()?.(message.params.diagnostics);
    } else if (message.method === 'workspace/configuration') {
        // No settings of ours: what an editor does out of the box.
        write({ id: message.id, result: message.params.items.map(() => null) });
    } else if (message.method !== undefined && message.id !== undefined) {
        write({ id: message.id, result: null });
    } else if (message.id !== undefined) {
        waiting.get(message.id)?.(message.result);
    }
}

server.stdout.on('data', (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
        const end = buffered.indexOf('\r\n\r\n');
        if (end < 0) return;
        const length = Number(/Content-Length: (\d+)/i.exec(buffered.subarray(0, end).toString())[1]);
        if (buffered.length < end + 4 + length) return;
        const body = buffered.subarray(end + 4, end + 4 + length).toString();
        buffered = buffered.subarray(end + 4 + length);
        handle(JSON.parse(body));
    }
});

let version = 0;

// Shows the server the file with one text replaced; what it has against it.
function edit(old, replacement) {
    if (!text.includes(old)) fail(`${path} has no ${JSON.stringify(old)}`);
    const changed = text.replace(old, () => replacement);
    const diagnostics = new Promise((told) => diagnosed.push(told));
    const document = { uri, version: ++version };
    if (version === 1) {
        write({ method: 'textDocument/didOpen', params: { textDocument: { ...document, languageId: 'yaml', text: changed } } });
    } else {
        write({ method: 'textDocument/didChange', params: { textDocument: document, contentChanges: [{ text: changed }] } });
    }
    return diagnostics.then((found) => ({ changed, found }));
}

// The place right behind a text, as the protocol counts.
function behind(changed, needle) {
    const lines = changed.slice(0, changed.indexOf(needle) + needle.length).split('\n');
    return { textDocument: { uri }, position: { line: lines.length - 1, character: lines.at(-1).length } };
}

await request('initialize', {
    processId: process.pid,
    rootUri: null,
    capabilities: { workspace: { configuration: true }, textDocument: { publishDiagnostics: {}, hover: { contentFormat: ['markdown'] } } },
});
write({ method: 'initialized', params: {} });

const section = '            group_id: test-group\n';
const asItIs = await edit(section, section);
if (asItIs.found.length > 0) fail(`complaints about the file as it is: ${JSON.stringify(asItIs.found)}`);

const shown = [];
const started = (await edit(section, `${section}            max_\n`)).changed;
const completion = await request('textDocument/completion', behind(started, '            max_'));
const labels = (completion.items ?? completion).map((item) => item.label).sort();
shown.push('Completions behind `max_`, in `kafka-consumer:`:', ...labels.map((label) => `    ${label}`));

await edit(section, section);
const hover = await request('textDocument/hover', behind(text, '            poll_time'));
const meaning = hover?.contents?.value ?? fail('nothing is shown for a key');
shown.push('', 'Shown for `poll_timeout`:', ...meaning.trim().replace(/\n+Source:.*/s, '').split('\n').map((line) => `    ${line}`.trimEnd()));

const { found } = await edit('max_batch_size: 5', 'max_batch_sise: 5');
const complaints = found.map(({ range, message }) => `    ${range.start.line + 1}:${range.start.character + 1}: ${message}`);
shown.push('', 'Complaints about `max_batch_sise: 5`:', ...complaints);

clearTimeout(limit);
console.log(shown.join('\n'));
server.kill();
