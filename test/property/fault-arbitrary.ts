import fc from 'fast-check'
import type { Fault, FaultKind, Target } from '../../src/testing/index.js'

/** Faults of the given kinds for a cluster of so many servers; they shrink to plainer ones, at lower servers. */
export function faultsOf(kinds: readonly FaultKind[], servers: number): fc.Arbitrary<Fault> {
  return fc.constantFrom(...kinds).chain((kind) => faultOf(kind, servers))
}

const how = fc.constantFrom('noticed', 'silent')
const inFlight = fc.constantFrom('lost', 'torn', 'whole')

function faultOf(kind: FaultKind, servers: number): fc.Arbitrary<Fault> {
  const ids = Array.from({ length: servers }, (_, at) => at + 1)
  const id = fc.constantFrom(...ids)
  const who: fc.Arbitrary<Target> = fc.constantFrom<Target>(...ids, 'leader')
  const side = fc.subarray(ids, { minLength: 1, maxLength: servers - 1 })
  const at = fc.constantFrom<Target | 'all'>('all', ...ids)
  const ways = fc.constantFrom('both', 'said', 'heard')
  const between = fc.tuple(who, id)
  const links = (faults: Extract<Fault, { links: unknown }>['links'][]) => fc.constantFrom(...faults)
  switch (kind) {
    case 'partition':
      return fc.record({ kind: fc.constant(kind), side, lost: fc.constant('both'), how })
    case 'one-way partition':
      return fc.record({ kind: fc.constant(kind), side, lost: fc.constantFrom('said', 'heard'), how })
    case 'partial cut':
      return fc.record({ kind: fc.constant(kind), between, how })
    case 'bridge':
      return fc.record({ kind: fc.constant(kind), over: who, side, how })
    case 'flapping link':
      return fc.record({ kind: fc.constant(kind), between, periodMs: fc.constantFrom(7, 40, 130), how })
    case 'loss':
      return fc.record({ kind: fc.constant(kind), links: links([{ loss: 0.1 }, { loss: 0.5 }]), at, ways })
    case 'delay':
      return fc.record({ kind: fc.constant(kind), links: links([{ delayMs: 10 }, { delayMs: [0, 150] }]), at, ways })
    case 'duplication':
      return fc.record({
        kind: fc.constant(kind),
        links: links([{ duplication: 0.1 }, { duplication: 0.7 }]),
        at,
        ways,
      })
    case 'reordering':
      return fc.record({
        kind: fc.constant(kind),
        links: links([{ reordering: 0.2 }, { reordering: 0.6, reorderMs: 90 }]),
        at,
        ways,
      })
    case 'corruption':
      return fc.record({ kind: fc.constant(kind), links: links([{ corruption: 0.02 }, { corruption: 0.2 }]), at, ways })
    case 'kill':
      return fc.record({ kind: fc.constant(kind), who, inFlight })
    case 'crash': {
      const watermark = fc.constantFrom('kept', 'stale', 'lost')
      return fc.record({ kind: fc.constant(kind), who, inFlight, watermark, survival: fc.constantFrom(0, 0.5, 1) })
    }
    case 'all down':
      return fc.record({
        kind: fc.constant(kind),
        how: fc.constantFrom('kill', 'crash'),
        inFlight,
        staggerMs: fc.constantFrom(0, 60),
      })
    case 'slow disk':
      return fc.record({
        kind: fc.constant(kind),
        who,
        latencyMs: fc.constantFrom([5, 20] as const, [0, 200] as const),
      })
    case 'corrupted record':
    case 'removed record':
      return fc.record({
        kind: fc.constant(kind),
        who,
        record: fc.constantFrom(-1, 0, 0.5, 1),
        place: fc.double({ min: 0, max: 0.999, noNaN: true }),
      })
    case 'drift':
      return fc.record({ kind: fc.constant(kind), who, rate: fc.constantFrom(0.96, 1.04) })
    case 'leadership transfer':
      return fc.record({ kind: fc.constant(kind), to: fc.option(id, { nil: undefined }) })
    case 'failing snapshot disk':
      return fc.record({
        kind: fc.constant(kind),
        who,
        how: fc.constantFrom('torn write', 'failed write', 'failed sync', 'full', 'read-only'),
      })
    case 'slow snapshot disk':
      return fc.record({ kind: fc.constant(kind), who, latencyMs: fc.constantFrom([1, 5] as const, [0, 60] as const) })
    case 'corrupted snapshot':
      return fc.record({
        kind: fc.constant(kind),
        who,
        which: fc.constantFrom('newest', 'oldest'),
        place: fc.double({ min: 0, max: 0.999, noNaN: true }),
        restarts: fc.boolean(),
      })
    case 'wiped disk':
      return fc.record({ kind: fc.constant(kind), who, by: fc.constantFrom<'itself' | number>('itself', ...ids) })
    case 'membership change':
      return membershipChange(who, ids)
    default:
      return fc.record({ kind: fc.constant(kind), who })
  }
}

/** What of it makes no sense when it is asked for is left out. */
function membershipChange(via: fc.Arbitrary<Target>, ids: readonly number[]): fc.Arbitrary<Fault> {
  const some = fc.subarray([...ids], { maxLength: 3 })
  return fc.record({
    kind: fc.constant('membership change'),
    via,
    add: fc.subarray([...ids]),
    promotable: fc.boolean(),
    promote: fc.subarray([...ids]),
    demote: fc.subarray([...ids], { maxLength: 1 }),
    remove: fc.oneof(some, fc.constant<Target[]>(['leader'])),
    force: fc.boolean(),
  })
}
