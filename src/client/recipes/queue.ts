import type { LogIndex } from '../../machines/types.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import type { ClientApi, Lease } from '../client-api.js'
import { compare, op } from '../txn.js'
import { lostError } from './lost.js'
import { textOf } from './names.js'
import { persevere } from './patience.js'

/**
 * A queue in the order of revisions: each who waits has a key of its own that goes with its lease, and its turn comes
 * once fewer than `permits` keys are left that were made before its own.
 */
export interface Queue {
  /** Of its keys. */
  readonly prefix: string
  /** How many have their turn at a time. */
  readonly permits: number
  /** Throws when those ahead are there for something else. */
  readonly check?: (ahead: readonly KvEntry[]) => void
}

/** A place in a queue. */
export interface Place {
  readonly key: string
  readonly lease: Lease
  /** The revision that made the key: later places have higher ones. */
  readonly token: LogIndex
}

const LEASE_DIGITS = 14
const PAGE_MAX = 10_000

/** Takes a place. Made twice, because the outcome of the first is unknown, it comes to the same one. */
export async function takePlace(
  client: ClientApi,
  prefix: string,
  value: string | Uint8Array,
  lease: Lease,
  signal: AbortSignal,
): Promise<Place> {
  const key = prefix + lease.id.toString(16).padStart(LEASE_DIGITS, '0')
  const token = await persevere(client, signal, async () => {
    const answer = await client
      .txn()
      .if(compare.missing(key))
      .then(op.put(key, value, { lease }))
      .else(op.get(key))
      .commit({ signal })
    return answer.succeeded ? answer.revision : (answer.results[0].entry?.createRevision ?? answer.revision)
  })
  return { key, lease, token }
}

/** Waits for the turn of a place. The signal's reason is thrown when it fires, LOST when the place is gone. */
export async function waitForTurn(client: ClientApi, queue: Queue, place: Place, signal: AbortSignal): Promise<true> {
  const { prefix, permits } = queue
  let seen = place.token
  let isOurTurn = false
  while (!isOurTurn) {
    await persevere(client, signal, async () => {
      const { entries, revision } = await entriesOf(client, prefix, seen, signal)
      const ahead = aheadOf(queue, place, entries)
      isOurTurn = ahead.length < permits
      if (!isOurTurn) seen = await nextChance(client, queue, ahead, revision, signal)
    })
  }
  return true
}

/** Throws LOST when the place is not among the entries. */
export function aheadOf(queue: Queue, { key, token }: Place, entries: readonly KvEntry[]): readonly KvEntry[] {
  if (!entries.some(({ createRevision }) => createRevision === token)) throw lostError(key)
  const ahead = entries.filter(({ createRevision }) => createRevision < token)
  queue.check?.(ahead)
  return ahead
}

/**
 * All entries below a prefix as of one revision, `seen` or a later one. This server's own copy will do: it holds all keys
 * made before that revision, and whoever is gone since is found to be gone later.
 */
export async function entriesOf(
  client: ClientApi,
  prefix: string,
  seen: LogIndex,
  signal: AbortSignal,
): Promise<{ readonly entries: readonly KvEntry[]; readonly revision: LogIndex }> {
  const query = { prefix, limit: PAGE_MAX, consistency: 'eventual', minRevision: seen, signal } as const
  let page = await client.range(query)
  const entries = [...page.entries]
  while (page.cursor !== undefined) {
    page = await client.range({ ...query, cursor: page.cursor })
    entries.push(...page.entries)
  }
  return { entries, revision: page.revision }
}

/**
 * Waits until so many of those ahead are gone that it may be our turn, and says as of which revision. Where one at a time
 * has its turn only the delete of the last one before us can be that: a release wakes one who waits, and not all.
 */
function nextChance(
  client: ClientApi,
  { prefix, permits }: Queue,
  ahead: readonly KvEntry[],
  after: LogIndex,
  signal: AbortSignal,
): Promise<LogIndex> {
  if (permits > 1) return untilFewer(client, { prefix }, ahead, permits, after, signal)
  const before = ahead.reduce((last, entry) => (entry.createRevision > last.createRevision ? entry : last))
  return untilFewer(client, before, [before], permits, after, signal)
}

/**
 * Waits until deletes after a revision have left fewer than so many of these entries, and says as of which revision. The
 * signal's reason is thrown when it fires.
 */
export async function untilFewer(
  client: ClientApi,
  watched: { readonly key: Uint8Array } | { readonly prefix: string },
  entries: readonly KvEntry[],
  bound: number,
  after: LogIndex,
  signal: AbortSignal,
): Promise<LogIndex> {
  const left = new Set(entries.map(({ key }) => textOf(key)))
  const keys = 'key' in watched ? { key: watched.key } : watched
  for await (const event of client.watch(keys, { fromRevision: after + 1, only: 'deletes', signal })) {
    if (event.type !== 'changes') continue
    for (const change of event.changes) if (change.type === 'delete') left.delete(textOf(change.key))
    if (left.size < bound) return event.revision
  }
  // Only the signal ends a watch without an error.
  throw signal.reason
}
