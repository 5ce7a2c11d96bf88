import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ActorumError,
  barrier,
  type ClientApi,
  compare,
  counter,
  discover,
  doubleBarrier,
  election,
  type EmbeddedEngine,
  type ErrorCode,
  leaderOf,
  lock,
  op,
  register,
  semaphore,
  tryLock,
} from '../../src/index.js'
import { isObject } from '../../src/client/call-checks.js'
import { EnginePlace, text } from '../integration/engine-place.js'

/** Whatever a caller without types gives fits everywhere. */
type Junk = never

const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
})
const near = fc.constantFrom<unknown>(
  ...['', '\ud800', new Uint8Array([1, 255]), new Uint8Array(2000), 'linearizable', 'eventual', 'puts', '=', '>'],
  ...[null, undefined, true, -1, 0, 1, 1.5, 1000, 2 ** 53, NaN, Infinity, 1n, Symbol('key'), Symbol.iterator],
  ...[{}, [], { id: 1 }, { id: Symbol('id') }, { key: 'key' }, { prefix: '' }, { from: 'a', to: Symbol('to') }],
)
const good = fc.constantFrom<unknown>('key', 'value', 'a/', 1000, 1, undefined)
const value = fc.oneof(anything, { arbitrary: near, weight: 2 }, { arbitrary: good, weight: 2 })

const signal = fc.oneof(
  value,
  fc.constantFrom<unknown>(
    { aborted: false, addEventListener: 1 },
    { aborted: 0 },
    { aborted: false, addEventListener: () => 0 },
  ),
  fc.constantFrom(AbortSignal.abort(), new AbortController().signal),
)
/** No test waits long for what never comes. */
const timeoutMs = value.map((given) => (typeof given === 'number' ? Math.min(given, 20) : given))
const NAMES = [
  ...['consistency', 'maxStalenessMs', 'minRevision', 'revision', 'lease', 'ttlMs', 'previous', 'keepAlive', 'since'],
  ...['sessionTimeoutMs', 'fromRevision', 'only', 'progressIntervalMs', 'bufferedChangesMax', 'resume'],
  ...['key', 'prefix', 'from', 'to', 'limit', 'reverse', 'keysOnly', 'countOnly', 'cursor'],
]
const options = fc.oneof(
  value,
  fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 2 }),
  fc.record({ signal, timeoutMs }, { requiredKeys: [] }),
  fc
    .tuple(fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 1 }), fc.record({ timeoutMs }))
    .map(([some, more]) => ({ ...some, ...more })),
)

/** These may end with whatever they say, and never throw. */
const PROMISING: Readonly<Record<string, (client: ClientApi, ...junk: Junk[]) => Promise<unknown>>> = {
  put: (client, a, b, more) => client.put(a, b, more),
  'put of a good key': (client, _, b, more) => client.put('key', b, more),
  putWithTtl: (client, a, b, more) => client.putWithTtl('key', 'value', a, typeof b === 'string' ? b : more),
  delete: (client, a, _, more) => client.delete(a, more),
  deleteRange: (client, a, _, more) => client.deleteRange(a, more),
  compareAndSwap: (client, a, b, more) => client.compareAndSwap('key', a, b, more),
  get: (client, a, _, more) => client.get(a, more),
  'get of a good key': (client, _, __, more) => client.get('key', more),
  getLinearizable: (client, _, __, more) => client.getLinearizable('key', more),
  getLease: (client, _, __, more) => client.getLease('key', more),
  getEventual: (client, a, _, more) => client.getEventual(a, more),
  'getEventual of a good key': (client, _, __, more) => client.getEventual('key', more),
  getEntry: (client, a, _, more) => client.getEntry(a, more),
  getMulti: (client, a, b, more) => client.getMulti(Array.isArray(a) ? a : [a, b], more),
  'getMulti of no list': (client, a, _, more) => client.getMulti(a, more),
  scanPrefix: (client, a, _, more) => client.scanPrefix(a, more),
  range: (client, _, __, more) => client.range(more),
  compact: (client, a, _, more) => client.compact(a, more),
  keepAlive: (client, a, _, more) => client.keepAlive(a, more),
  revoke: (client, a, _, more) => client.revoke(a, more),
  timeToLive: (client, a, _, more) => client.timeToLive(a, more),
  leases: (client, _, __, more) => client.leases(more),
  refresh: (client, _, __, more) => client.refresh(more),
  listMembers: (client) => client.listMembers(),
  grantLease: async (client, a, _, more) => (await client.grantLease(a, more)).release(),
  'a lease': async (client, _, __, more) => {
    const lease = await client.grantLease(1000, { keepAlive: false })
    const calls = [lease.keepAlive(more), lease.timeToLive(more), lease.revoke(more)]
    for (const call of await Promise.allSettled(calls)) if (call.status === 'rejected') throw call.reason as Error
  },
  openSession: async (client, _, __, more) => (await client.openSession(more)).close(),
  'a commit': (client, _, __, more) => client.txn().then(op.get('key')).commit(more),
}

/** These give something at once, or throw an ActorumError; what they give is used up. */
const GIVING: Readonly<Record<string, (client: ClientApi, ...junk: Junk[]) => unknown>> = {
  if: (client, a, b) => client.txn().if(a, b).commit(),
  then: (client, a, b) => client.txn().then(a, b).commit(),
  else: (client, a, b) => client.txn().then(op.get('key')).else(a, b).commit(),
  'then of commands': (client, a, b) =>
    client
      .txn()
      .then(commandOf('put', a, b), commandOf('range', a, b))
      .commit(),
  'then of transactions': (client, a, b) =>
    client
      .txn()
      .then(op.txn({ if: a, then: b }))
      .commit(),
  'if of comparisons': (client, a, b, more) => {
    return client
      .txn()
      .if(compare.value('key', a, b), compare.version('key', '=', more), compare.lease('key', '=', a))
      .commit()
  },
  'then of operations': (client, a, b, more) => {
    return client
      .txn()
      .then(op.put('key', a, more), op.delete(b, more), op.deleteRange(a), op.range(more))
      .commit()
  },
  'then of one operation': (client, a, b) =>
    client
      .txn()
      .then(op.compareAndSwap('key', a, b), op.get(b))
      .commit(),
  entries: async (client, _, __, more) => {
    for await (const { version } of client.entries(more)) expect(version).toBeGreaterThan(0)
  },
  watch: (client, a, _, more) => usedUp(client.watch(a, more)),
  'watch of a good key': (client, _, __, more) => usedUp(client.watch('key', more)),
  observe: (client, a, _, more) => usedUp(client.observe(a, more)),
  namespace: (client, a, _, more) => client.namespace(a).getEventual('key', more),
  causal: (client, _, __, more) => client.causal(more).getEventual('key', { timeoutMs: 5 }),
  'a causal read': (client, _, __, more) => client.causal().get('key', more),
}

/** These may throw at once or fail later, and what they hold is let go. */
const RECIPES: Readonly<Record<string, (client: ClientApi, ...junk: Junk[]) => unknown>> = {
  lock: async (client, a, _, more) => (await lock(client, a, within(more))).release(),
  'a good lock': async (client, _, __, more) => (await lock(client, 'lock', within(more))).release(),
  tryLock: async (client, a, _, more) => (await tryLock(client, a, more))?.release(),
  semaphore: async (client, a, b, more) => (await semaphore(client, a, b).tryAcquire(more))?.release(),
  'a good semaphore': async (client, _, __, more) =>
    (await semaphore(client, 'semaphore', 2).acquire(within(more))).release(),
  campaign: async (client, a, b, more) => (await election(client, a).campaign(b, within(more))).resign(more),
  'a good campaign': async (client, _, b, more) => {
    await using held = await election(client, 'election').campaign('value', within(more))
    await held.proclaim(b, more)
  },
  leader: (client, _, __, more) => election(client, 'election').leader(more),
  observe: async (client, a, _, more) => usedUp(election(client, a).observe(more)),
  leaderOf: (client, a, b, more) => leaderOf(client, a, b, more),
  'a good leaderOf': (client, a, _, more) => leaderOf(client, 'job', () => a, more),
  barrier: async (client, a, _, more) => {
    await barrier(client, a).hold(more)
    await barrier(client, a).lift(more)
    await barrier(client, a).wait(within(more))
  },
  doubleBarrier: async (client, a, b, more) => (await doubleBarrier(client, a, b).enter(within(more))).release(),
  'a good doubleBarrier': async (client, _, __, more) =>
    (await doubleBarrier(client, 'both', 1).enter(within(more))).leave(within(more)),
  counter: (client, a, b, more) => counter(client, a).add(b, more),
  'a good counter': (client, a, _, more) => counter(client, 'counter').add(a, more),
  'the value of a counter': (client, _, __, more) => counter(client, 'counter').value(more),
  register: async (client, a, b, more) => (await register(client, 'service', a, b, more)).release(),
  'a good registration': async (client, a, b, more) => {
    await using registration = await register(client, 'service', 'instance', 'value')
    await registration.update(a, more)
    await registration.release(b)
  },
  discover: async (client, a, _, more) => usedUp(discover(client, a, more)),
}

/** No recipe waits longer than a test may. */
function within(options: Junk): Junk {
  const given: unknown = options
  if (given !== undefined && !isObject(given)) return options
  const { timeoutMs } = { timeoutMs: undefined, ...given }
  return { ...given, timeoutMs: timeoutMs ?? 20 } as Junk
}

/** As nobody's `op` would make it. */
function commandOf(type: string, a: Junk, b: Junk): Junk {
  return { type, key: 'key', value: 'value', from: 'a', to: 'b', lease: a, ttlMs: b, limit: a, wantPrevious: b } as Junk
}

async function usedUp(handle: AsyncIterable<unknown> & { cancel(): void }): Promise<void> {
  const next = handle[Symbol.asyncIterator]().next()
  handle.cancel()
  await next
}

/** Of a lone server that works: anything else would be its fault. */
const EXPECTED: readonly ErrorCode[] = [
  ...(['INVALID_ARGUMENT', 'TOO_LARGE', 'ABORTED', 'TIMEOUT', 'NO_LEADER', 'OUTCOME_UNKNOWN', 'BUSY'] as const),
  ...(['COMPACTED', 'LEASE_NOT_FOUND', 'SESSION_EXPIRED'] as const),
  // One who holds what another takes, and a barrier that is entered by more than it is for.
  ...(['LOST', 'REFUSED'] as const),
]

interface Call {
  readonly through: 'client' | 'namespace' | 'causal' | 'session'
  readonly name: string
  readonly junk: readonly unknown[]
}

const call: fc.Arbitrary<Call> = fc.record({
  through: fc.constantFrom('client', 'namespace', 'causal', 'session'),
  name: fc.constantFrom(...Object.keys(PROMISING), ...Object.keys(GIVING), ...Object.keys(RECIPES)),
  junk: fc.tuple(value, value, options),
})

describe('whatever it is given, a client', () => {
  let place: EnginePlace
  let engine: EmbeddedEngine
  let clients: Readonly<Record<Call['through'], ClientApi>>

  beforeAll(async () => {
    place = await EnginePlace.make()
    engine = await place.start({ requestTimeoutMs: 50, valueBytesMax: 1024, logEntriesKept: 0 })
    await engine.ready({ timeoutMs: 10_000 })
    const { client } = engine
    const session = await client.openSession({ timeoutMs: 10_000 })
    clients = { client, namespace: client.namespace('a/'), causal: client.causal(), session }
  }, 30_000)

  afterAll(() => place.dispose())

  it('answers, or fails with an ActorumError, and the engine works on', { timeout: 60_000 }, async () => {
    const codes = new Map<string, number>()
    let written = 0
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 20, maxLength: 40 }), async (calls) => {
        const outcomes = await Promise.all(calls.map(async (each) => ({ ...each, outcome: await outcomeOf(each) })))
        for (const { outcome } of outcomes) codes.set(outcome, (codes.get(outcome) ?? 0) + 1)
        const wrong = outcomes.filter(
          ({ outcome }) => outcome !== 'answered' && !EXPECTED.some((code) => code === outcome),
        )
        expect(wrong).toEqual([])
        await engine.client.put('alive', `${++written}`, { timeoutMs: 10_000 })
        expect(text(await engine.client.get('alive', { timeoutMs: 10_000 }))).toBe(`${written}`)
      }),
      { numRuns: 150, timeout: 20_000, endOnFailure: true },
    )
    expect(codes.get('answered')).toBeGreaterThan(100)
    expect(codes.get('INVALID_ARGUMENT')).toBeGreaterThan(100)
  })

  /** Its code, `answered`, or what it should not have done. */
  async function outcomeOf({ through, name, junk }: Call): Promise<string> {
    let isThrown = true
    try {
      const given = (PROMISING[name] ?? GIVING[name] ?? RECIPES[name])?.(clients[through], ...(junk as Junk[]))
      isThrown = false
      await given
      return 'answered'
    } catch (error) {
      if (isThrown && name in PROMISING) return `thrown: ${String(error)}`
      return error instanceof ActorumError ? error.code : `raw: ${error instanceof Error ? error.stack : String(error)}`
    }
  }
})
