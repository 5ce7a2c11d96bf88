import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type {
  InSessionCommand,
  KvCommand,
  KvCompare,
  KvOperation,
  LeaseCommand,
  TxnCommand,
} from '../../src/state-machines/kv/commands.js'
import type { KvChange } from '../../src/state-machines/kv/watchers.js'
import { AppliedLog, keyRange, textOf } from '../unit/kv-batch.js'
import { changesBetween, KvModel, rangeOf } from './kv-model.js'

const key = fc.constantFrom('a', 'b', 'c', 'd', 'dd')
const value = fc.constantFrom('', 'u', 'v', 'long value')
/** Log indexes of early commands, the first of which grants and the second of which opens. */
const leaseId = fc.constantFrom(1, 1, 1, 3, 4, 5)
const sessionId = fc.constantFrom(2, 2, 2, 3, 4, 5)
const beginning: readonly KvCommand[] = [
  { type: 'grantLease', ttlMs: 40 },
  { type: 'openSession', timeoutMs: 60 },
]
const ttlMs = fc.integer({ min: 1, max: 30 })
const flag = fc.constantFrom(undefined, true)
const to = fc.option(key, { nil: undefined })

const plain: fc.Arbitrary<KvOperation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, value, wantPrevious: flag }),
  fc.record({ type: fc.constant('put' as const), key, value, ttlMs }),
  fc.record({ type: fc.constant('put' as const), key, value, lease: leaseId }),
  fc.record({ type: fc.constant('delete' as const), key, wantPrevious: flag }),
  fc.record({ type: fc.constant('deleteRange' as const), from: key, to, wantPrevious: flag }),
  fc.record({
    type: fc.constant('compareAndSwap' as const),
    key,
    expected: fc.option(value, { nil: undefined }),
    value,
  }),
  fc.record({ type: fc.constant('get' as const), key }),
  fc.record({
    type: fc.constant('range' as const),
    from: fc.constantFrom('', 'b'),
    to,
    limit: fc.constantFrom(undefined, 1, 2),
    reverse: flag,
    keysOnly: flag,
    countOnly: flag,
  }),
)
const relation = fc.constantFrom('=' as const, '!=' as const, '<' as const, '>' as const)
const compare: fc.Arbitrary<KvCompare> = fc.oneof(
  fc.record({ key, target: fc.constant('value' as const), relation, operand: value }),
  fc.record({
    key,
    target: fc.constantFrom('version' as const, 'createRevision' as const, 'modRevision' as const, 'lease' as const),
    relation,
    operand: fc.nat(8),
  }),
)
function txn(depth: number): fc.Arbitrary<TxnCommand> {
  const operations = fc.array(depth === 0 ? plain : fc.oneof(plain, plain, txn(depth - 1)), { maxLength: 3 })
  return fc.record({
    type: fc.constant('txn' as const),
    compares: fc.array(compare, { maxLength: 2 }),
    then: operations,
    else: operations,
  })
}
const lease: fc.Arbitrary<LeaseCommand> = fc.oneof(
  fc.record({ type: fc.constant('grantLease' as const), ttlMs }),
  fc.record({ type: fc.constant('keepLeaseAlive' as const), lease: leaseId }),
  fc.record({ type: fc.constant('revokeLease' as const), lease: leaseId }),
)
const inSession: fc.Arbitrary<InSessionCommand> = fc
  .record({
    session: sessionId,
    lowestOutstanding: fc.nat(3),
    beyond: fc.nat(3),
    command: fc.oneof(plain, txn(0), lease),
  })
  .map(({ beyond, ...rest }) => ({ type: 'inSession', sequence: rest.lowestOutstanding + beyond, ...rest }))
const command: fc.Arbitrary<KvCommand> = fc.oneof(
  { arbitrary: plain, weight: 4 },
  { arbitrary: txn(2), weight: 3 },
  { arbitrary: lease, weight: 3 },
  { arbitrary: inSession, weight: 4 },
  fc.record({ type: fc.constant('openSession' as const), timeoutMs: ttlMs }),
  fc.record({ type: fc.constantFrom('keepSessionAlive' as const, 'closeSession' as const), session: sessionId }),
  fc.constant({ type: 'expire' as const }),
  fc.record({ type: fc.constant('compact' as const), revision: fc.nat(10) }),
)
const step = fc.record({ command, elapsedMs: fc.nat(10), restart: fc.nat(9), past: fc.nat(60) })
const history = fc
  .array(step, { maxLength: 40 })
  .map((steps) => [...beginning.map((command) => ({ command, elapsedMs: 0, restart: 1, past: 0 })), ...steps])
const query = fc.record({ from: fc.constantFrom('', 'b'), to, limit: fc.constantFrom(undefined, 1, 2), reverse: flag })

/** Bytes as text, all the way down. */
function legible(value: unknown): unknown {
  if (value instanceof Uint8Array) return textOf(value)
  if (Array.isArray(value)) return value.map(legible)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, legible(each)]))
}

function legibleChange(change: KvChange) {
  const key = textOf(change.type === 'put' ? change.entry.key : change.key)
  const value = change.type === 'put' ? textOf(change.entry.value) : undefined
  return { key, value, previous: change.previous && textOf(change.previous.value) }
}

const byKey = (changes: readonly KvChange[]) =>
  changes.map(legibleChange).sort((one, other) => (one.key < other.key ? -1 : 1))

describe('the coordination store', () => {
  it('does what a plain model does, of every kind of command, also after snapshots and their restoration', () => {
    fc.assert(
      fc.property(history, query, (steps, query) => {
        const [model, log] = [new KvModel(), new AppliedLog()]
        const range = keyRange(query.from, query.to)
        for (const { command, elapsedMs, restart, past } of steps) {
          log.clusterTime = model.clusterTime += elapsedMs
          if (restart === 0) log.restart()
          expect(legible(log.apply(command))).toEqual(legible(model.apply(command)))
          expect(log.store.nextExpiry()).toBe(model.nextExpiry)
          expect(log.store.compactedRevision).toBe(model.compacted)
          const revision = past % (model.revision + 1)
          const read = () => log.store.range({ ...query, ...range }, revision)
          if (revision < model.compacted) expect(read).toThrow(expect.objectContaining({ code: 'COMPACTED' }))
          else expect(legible(read())).toEqual({ ...rangeOf(model.past[revision] ?? new Map(), query), revision })
        }
      }),
      { numRuns: 200 },
    )
  })

  it('tells who watches of every change, once, in order, and whole revisions, also out of the history', () => {
    fc.assert(
      fc.property(history, key, fc.nat(20), (steps, from, since) => {
        const [model, log] = [new KvModel(), new AppliedLog()]
        const told: [number, unknown][] = []
        const watched = (each: { readonly key: string }) => each.key >= from
        log.store.watch(keyRange(from), {
          changed: (revision, changes) => told.push([revision, byKey(changes)]),
          replaced: () => undefined,
        })
        for (const { command, elapsedMs } of steps) {
          log.clusterTime = model.clusterTime += elapsedMs
          log.apply(command)
          model.apply(command)
        }
        const expected = model.past.slice(1).flatMap((after, before): [number, unknown][] => {
          const changes = changesBetween(model.past[before] ?? new Map(), after).filter(watched)
          return changes.length === 0 ? [] : [[before + 1, changes]]
        })
        expect(told).toEqual(expected)
        if (since <= model.compacted) return
        const { revisions } = log.store.changesSince(since, keyRange(from))
        expect(revisions.map(({ revision, changes }) => [revision, byKey(changes)])).toEqual(
          expected.filter(([revision]) => revision >= since),
        )
      }),
      { numRuns: 200 },
    )
  })
})
