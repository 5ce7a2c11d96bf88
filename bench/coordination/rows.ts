import type { Consistency } from '../../src/index.js'

/** Calls of clients in the leader's process, in a closed loop. */
export type Calls = Writing | Reading

export interface Writing {
  /** `churn`: puts of ever new keys that expire a second later. The sessions: one for all clients, or one for each. */
  readonly kind: 'put' | 'compareAndSwap' | 'txn' | 'putInSharedSession' | 'putInOwnSession' | 'churn'
  readonly clients: number
}

export interface Reading {
  /** Of one key, of all keys with a prefix, of a page of a range. */
  readonly kind: 'get' | 'scan' | 'page'
  readonly consistency: Consistency
  readonly clients: number
}

/** What is there while plain writes are measured: watchers of what is not written, or keys that are not. */
export type Presence =
  | { readonly kind: 'otherKeys' | 'otherPrefixes'; readonly watchers: number }
  | { readonly kind: 'keys'; readonly ttlMs: number | undefined }

/** What is measured, each beside plain calls in the same processes. */
export type Measurement =
  | { readonly kind: 'calls'; readonly calls: Calls; readonly beside?: Presence }
  /** One writer of one key, and its watchers on one server. */
  | { readonly kind: 'fanOut'; readonly watchers: number; readonly at: 'leader' | 'follower' }
  /** Contenders for one lock, each of which holds it until another waits. */
  | { readonly kind: 'handover'; readonly onLeader: number; readonly onFollower: number }

export interface Row {
  readonly name: string
  /** Keys that are there from the beginning, and that calls go round. */
  readonly keys: number
  /** What it is a ratio to. */
  readonly plain: Calls
  readonly measurement: Measurement
  /** The share of the plain calls' throughput that it should keep, where there is such a bound. */
  readonly wantedRatio?: number
}

const CLIENTS = 100
/** A hundred pages that one round of a quorum releases at once would hold up the leader's loop. */
const PAGING_CLIENTS = 10
/** As in the rows of plain calls. */
const KEYS = 1000
const SCANNED_KEYS = 100_000
const HOUR_MS = 3_600_000
const WATCHERS_ELSEWHERE = 10_000

const plainPut: Calls = { kind: 'put', clients: CLIENTS }

export const ROWS: readonly Row[] = [
  writes('compareAndSwap', 'compareAndSwap'),
  writes('txn: 4 comparisons, 4 puts', 'txn'),
  writes('put, one session for all', 'putInSharedSession'),
  writes('put, a session for each', 'putInOwnSession'),
  reads('scanPrefix of 100 keys', 'scan', 'linearizable'),
  reads('scanPrefix of 100 keys, eventual', 'scan', 'eventual'),
  reads('range page of 1,000 keys, 10 clients', 'page', 'linearizable', PAGING_CLIENTS),
  reads('range page of 1,000 keys, 10 clients, eventual', 'page', 'eventual', PAGING_CLIENTS),
  writes('putWithTtl of 1 s, ever new keys', 'churn'),
  beside('put beside so many keys', { kind: 'keys', ttlMs: undefined }),
  beside('put beside so many keys with a TTL', { kind: 'keys', ttlMs: HOUR_MS }),
  { ...beside('put, 10,000 watch other keys', { kind: 'otherKeys', watchers: WATCHERS_ELSEWHERE }), wantedRatio: 0.95 },
  {
    ...beside('put, 10,000 watch other prefixes', { kind: 'otherPrefixes', watchers: WATCHERS_ELSEWHERE }),
    wantedRatio: 0.95,
  },
  ...[1, 100, 10_000].flatMap((watchers) => [fanOut(watchers, 'leader'), fanOut(watchers, 'follower')]),
  handover('lock, 2 contenders on the leader', 2, 0),
  handover('lock, 10 contenders on the leader', 10, 0),
  handover('lock, leader and follower in turn', 1, 1),
]

function writes(name: string, kind: Writing['kind']): Row {
  return { name, keys: KEYS, plain: plainPut, measurement: { kind: 'calls', calls: { kind, clients: CLIENTS } } }
}

function reads(name: string, kind: Reading['kind'], consistency: Consistency, clients = CLIENTS): Row {
  const plain: Calls = { kind: 'get', consistency, clients }
  return { name, keys: SCANNED_KEYS, plain, measurement: { kind: 'calls', calls: { ...plain, kind } } }
}

function beside(name: string, presence: Presence): Row {
  return { name, keys: KEYS, plain: plainPut, measurement: { kind: 'calls', calls: plainPut, beside: presence } }
}

function fanOut(watchers: number, at: 'leader' | 'follower'): Row {
  const name = `watch, ${watchers.toLocaleString('en-US')} on ${at === 'leader' ? 'the leader' : 'a follower'}`
  return { name, keys: KEYS, plain: { kind: 'put', clients: 1 }, measurement: { kind: 'fanOut', watchers, at } }
}

function handover(name: string, onLeader: number, onFollower: number): Row {
  const measurement: Measurement = { kind: 'handover', onLeader, onFollower }
  return { name, keys: KEYS, plain: { kind: 'put', clients: 1 }, measurement }
}
