// Node as client and as server, by its own http and http2 modules.
//   node node_peer.js serve h1|h2 PORT
//   node node_peer.js call h1|h2 PORT     prints what every call saw, as JSON
'use strict';
const http = require('node:http');
const http2 = require('node:http2');
const crypto = require('node:crypto');
const { pipeline, Readable } = require('node:stream');

const CALLS = 200; // small ones, at most PARALLEL at a time
const PARALLEL = 25;
const LARGE = 4 * 1024 * 1024;

const sha256 = () => crypto.createHash('sha256');

// --- the server ---

// The compatibility API: one function for both protocols.
function answer(request, response) {
  const [path, number] = request.url.slice(1).split('/');
  if (path === 'large') {
    response.writeHead(200, { 'content-type': 'application/octet-stream', trailer: 'x-hash' });
    const body = crypto.createHash('shake256', { outputLength: LARGE }).update(number).digest();
    response.addTrailers({ 'x-hash': sha256().update(body).digest('hex') });
    Readable.from(slices(body)).pipe(response);
    return;
  }
  const hash = sha256();
  request.on('data', (piece) => hash.update(piece));
  request.on('end', () => {
    response.writeHead(path === 'missing' ? 404 : 200, {
      'x-method': request.method, 'x-number': number, 'x-hash': hash.digest('hex'), 'x-sent-trailer': request.trailers['x-last'] || '',
      'set-cookie': ['a=1', 'b=2'],
    });
    response.end(request.method === 'HEAD' ? undefined : `${path} ${number}`);
  });
}

function* slices(bytes) {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

function serve(protocol, port) {
  const server = protocol === 'h2' ? http2.createServer(answer) : http.createServer({ keepAliveTimeout: 60_000 }, answer);
  server.listen(port, '0.0.0.0', () => console.log('serving'));
}

// --- the client: call(method, path, headers, body) gives { status, headers, trailers, text, hash, size, interim } ---

function collect(stream, take) {
  const hash = sha256();
  let text = '', size = 0;
  return new Promise((resolve, reject) => {
    stream.on('data', (piece) => {
      hash.update(piece);
      size += piece.length;
      if (size < 1000) text += piece;
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(take({ text, size, hash: hash.digest('hex') })));
  });
}

function caller1(port) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: PARALLEL });
  const call = (method, path, headers = {}, body = null) => new Promise((resolve, reject) => {
    let interim = 0;
    const request = http.request({ host: '127.0.0.1', port, method, path, headers, agent });
    request.on('error', reject);
    request.on('continue', () => { interim++; send(); });
    request.on('response', (response) => {
      collect(response, (got) => ({ status: response.statusCode, headers: response.headers, trailers: response.trailers, interim, ...got }))
        .then(resolve, reject);
    });
    const send = () => {
      if (headers.trailer) request.addTrailers({ 'x-last': 'the last' });
      if (body) pipeline(Readable.from(slices(body)), request, () => {}); else request.end();
    };
    if (headers.expect) request.flushHeaders(); else send();
  });
  return { call, end: () => agent.destroy() };
}

function caller2(port) {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const call = (method, path, headers = {}, body = null) => new Promise((resolve, reject) => {
    const stream = session.request({ ':method': method, ':path': path, ...headers },
                                   { endStream: !body && !headers.trailer, waitForTrailers: Boolean(headers.trailer) });
    const got = { trailers: {}, interim: 0 };
    stream.on('error', reject);
    stream.on('continue', () => { got.interim++; send(); });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-last': 'the last' }));
    stream.on('trailers', (trailers) => { got.trailers = { ...trailers }; });
    stream.on('response', (answer) => { got.status = answer[':status']; got.headers = { ...answer }; });
    collect(stream, (read) => ({ ...got, ...read })).then(resolve, reject);
    const send = () => {
      if (body) pipeline(Readable.from(slices(body)), stream, () => {}); else if (headers.trailer) stream.end();
    };
    if (!headers.expect) send();
  });
  return { call, end: () => session.close() };
}

async function manyCalls(call) {
  const results = [];
  let next = 0;
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    while (next < CALLS) {
      const number = next++;
      const got = await call('GET', `/small/${number}`);
      results.push(got.status === 200 && got.text === `small ${number}` && got.headers['x-number'] === String(number));
    }
  }));
  return results.filter(Boolean).length;
}

async function main(protocol, port) {
  const { call, end } = protocol === 'h2' ? caller2(port) : caller1(port);
  const body = crypto.createHash('shake256', { outputLength: LARGE }).update('upload').digest();
  const told = {
    body_hash: sha256().update(body).digest('hex'),
    small: await manyCalls(call),
    head: await call('HEAD', '/small/1'),
    missing: await call('GET', '/missing/1'),
    upload: await call('POST', '/up/1', {}, body),
    trailers: await call('POST', '/up/2', { trailer: 'x-last' }, Buffer.from('with trailers')),
    expect: await call('POST', '/up/3', { expect: '100-continue' }, Buffer.from('asked first')),
    large: await Promise.all([1, 2, 3, 4].map((number) => call('GET', `/large/${number}`))),
  };
  end();
  console.log(JSON.stringify(told));
}

const [what, protocol, port] = process.argv.slice(2);
if (what === 'serve') serve(protocol, Number(port));
else main(protocol, Number(port)).catch((error) => { console.error(error); process.exit(1); });
