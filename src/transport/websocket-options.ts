import { JOIN_TIMEOUT_MS } from './join.js'

/** Bounds and times of the WebSocket transport. */
export interface WebSocketOptions {
  /** The first pause before dialling again; it doubles with every failure. Default 50. */
  readonly reconnectMsMin: number
  /** The longest pause; also how long a connection must have held to begin at the shortest again. Default 2,000. */
  readonly reconnectMsMax: number
  /** From dialling to the peer's welcome. Default 2,000. */
  readonly dialTimeoutMs: number
  /** From a stranger's connection to its hello. Default 2,000. */
  readonly helloTimeoutMs: number
  /** From a server's wish to join to the answer, on either side. Default 10,000. */
  readonly joinTimeoutMs: number
  /** Strangers' connections at a time; more are closed at once. Default 64. */
  readonly strangersMax: number
  /** How often a peer is pinged; after three pings without an answer or any progress it is dialled anew. Default 1,000. */
  readonly pingMs: number
  /** Bytes waiting for one peer on one channel; what comes beyond is dropped. Default 32 MiB. */
  readonly outboxBytesMax: number
}

export const DEFAULT_WEBSOCKET_OPTIONS: WebSocketOptions = {
  reconnectMsMin: 50,
  reconnectMsMax: 2000,
  dialTimeoutMs: 2000,
  helloTimeoutMs: 2000,
  joinTimeoutMs: JOIN_TIMEOUT_MS,
  strangersMax: 64,
  pingMs: 1000,
  outboxBytesMax: 32 * 1024 * 1024,
}
