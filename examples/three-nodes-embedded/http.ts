import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { ActorumError, type Consistency, type EmbeddedEngine, type ErrorCode } from 'actorum'

/** The engine's own limit of a value, by default; a body is read no further. */
const VALUE_BYTES_MAX = 1024 * 1024

/** What an error means to whoever asked by HTTP; all others are 500. */
const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 400,
  TOO_LARGE: 413,
  // Not done: ask again, perhaps somewhere else.
  NOT_LEADER: 503,
  NO_LEADER: 503,
  BUSY: 503,
  TIMEOUT: 503,
  STOPPED: 503,
  // Done or not: read before asking again.
  OUTCOME_UNKNOWN: 504,
}

/** Serves `/kv/:key`, and `/primary` and `/replica` for a load balancer's health checks. */
export function serveHttp(engine: EmbeddedEngine, port: number): Server {
  const server = createServer((request, response) => {
    respond(engine, request, response).catch((error: unknown) => {
      const status = (error instanceof ActorumError && STATUS_OF[error.code]) || 500
      if (!response.headersSent) response.writeHead(status, { 'content-type': 'text/plain' })
      response.end(`${error instanceof Error ? error.message : String(error)}\n`)
    })
  })
  return server.listen(port, '127.0.0.1')
}

async function respond(engine: EmbeddedEngine, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // By hand: a URL refuses a path of slashes, and takes `//host` for a host.
  const [pathname = '', query] = (request.url ?? '/').split('?', 2)
  const searchParams = new URLSearchParams(query)
  switch (pathname) {
    case '/primary':
      return health(response, engine.isLeader)
    case '/replica':
      return health(response, engine.role === 'follower' && engine.leaderId !== undefined)
  }
  const key = pathname.startsWith('/kv/') ? decoded(pathname.slice('/kv/'.length)) : ''
  if (key === '') return void response.writeHead(404).end()
  switch (request.method) {
    case 'PUT':
      return json(response, await engine.client.put(key, await bodyOf(request)))
    case 'DELETE':
      return json(response, await engine.client.delete(key))
    case 'GET': {
      // The engine refuses what is no consistency.
      const consistency = (searchParams.get('consistency') ?? 'linearizable') as Consistency
      const value = await engine.client.get(key, { consistency })
      if (value === undefined) return void response.writeHead(404).end()
      return void response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(value)
    }
    default:
      return void response.writeHead(405, { allow: 'GET, PUT, DELETE' }).end()
  }
}

function health(response: ServerResponse, isHealthy: boolean): void {
  response.writeHead(isHealthy ? 200 : 503).end()
}

function json(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new ActorumError('INVALID_ARGUMENT', `'${text}' is no percent-encoded key`, { cause })
  }
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > VALUE_BYTES_MAX) throw new ActorumError('TOO_LARGE', `the value has over ${VALUE_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
