import { NEVER } from 'rxjs'
import type { ClusterSource } from '../../src/client/cluster-view.js'
import { EmbeddedStore } from '../../src/client/embedded-store.js'
import { Handles } from '../../src/client/handles.js'
import { StoreClient } from '../../src/client/store-client.js'
import { type MemoryServer, MemoryServers, type Settings } from './memory-servers.js'

export const CLIENT_OPTIONS = {
  requestTimeoutMs: 5000,
  linearizableReads: 'quorum',
  keyBytesMax: 64,
  valueBytesMax: 1024,
  clockDriftBoundPercent: 10,
} as const

/** Where nobody asks for the members. */
export const NO_CLUSTER: ClusterSource = {
  members: () => [],
  leaderId: () => undefined,
  membership$: () => NEVER,
}

export function storeOf(servers: MemoryServers, server: MemoryServer): EmbeddedStore {
  const { raft, keyValues } = server
  const ports = { server: raft, keyValues, clock: servers.clock, cluster: NO_CLUSTER, assertOpen: () => undefined }
  return new EmbeddedStore(ports, CLIENT_OPTIONS)
}

/** A client of one of the servers, and time, which stands still until a call is awaited with `done`. */
export function clientOf(servers: MemoryServers, server: MemoryServer): StoreClient {
  return new StoreClient(storeOf(servers, server), new Handles())
}

/** What a call comes to: time goes on until it is answered. */
export async function done<Value>(servers: MemoryServers, call: Promise<Value>): Promise<Value> {
  let isAnswered = false
  const note = (): void => void (isAnswered = true)
  call.then(note, note)
  for (let ms = 0; ms < 20_000 && !isAnswered; ms++) {
    servers.turn()
    // Promises of the call, and of what it awaits, are settled between turns.
    for (let at = 0; at < 20 && !isAnswered; at++) await Promise.resolve()
    if (!isAnswered) servers.advance(1)
  }
  return call
}

/** A server by itself, a client of it, and the way to await a call. */
export function lone(given: Settings = {}) {
  const servers = new MemoryServers(1, given)
  const server = servers.elect()
  const client = clientOf(servers, server)
  return { servers, server, client, now: <Value>(call: Promise<Value>): Promise<Value> => done(servers, call) }
}
