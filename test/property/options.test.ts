import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActorumError } from '../../src/errors.js'
import {
  callDefaults,
  type EngineOptions,
  parseAddress,
  type ReadOptions,
  type ResolvedOptions,
  validateOptions,
  validateReadOptions,
} from '../../src/options.js'

const NAMES = Object.keys(validateOptions({ dataDir: './data' }))

/** Anything JSON can say, and what it cannot. */
const anything = fc.oneof(
  fc.jsonValue(),
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
)
const address = fc.oneof(fc.constantFrom('a:1', '[::1]:2', 'b:3'), fc.string())
const member = fc.record({ id: fc.oneof(fc.nat(3), anything), address: fc.oneof(address, anything) })
const plausible = fc.oneof(
  fc.integer({ min: 0, max: 5000 }),
  fc.constantFrom('./data', 'disk-first', 'lease', 'a:1', true),
  fc.array(member, { maxLength: 4 }),
  anything,
)
const options = fc.oneof(
  anything,
  fc.dictionary(fc.constantFrom(...NAMES), plausible, { maxKeys: 3 }).map((given) => ({ dataDir: './data', ...given })),
  fc.dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string()), plausible),
)

function outcomeOf<Outcome>(validate: () => Outcome): Outcome | 'refused' {
  try {
    return validate()
  } catch (error) {
    if (error instanceof ActorumError && error.code === 'INVALID_ARGUMENT' && error.message.length < 1000)
      return 'refused'
    throw error
  }
}

describe('whatever is given as options', () => {
  it('is resolved or refused with INVALID_ARGUMENT, and what is resolved is complete and stays so', () => {
    let resolvedCount = 0
    fc.assert(
      fc.property(options, (given) => {
        const resolved = outcomeOf(() => validateOptions(given as EngineOptions))
        if (resolved === 'refused') return
        resolvedCount++
        expect(Object.keys(resolved)).toEqual(NAMES)
        expectSound(resolved)
      }),
      { numRuns: 2000 },
    )
    expect(resolvedCount).toBeGreaterThan(50)
  })

  it('of a call is resolved or refused with INVALID_ARGUMENT', () => {
    const defaults = callDefaults({ requestTimeoutMs: 5000 })
    const names = fc.constantFrom('signal', 'timeoutMs', 'consistency', 'timeout')
    const call = fc.oneof(anything, fc.dictionary(names, fc.oneof(fc.constantFrom('lease', 7), anything)))
    fc.assert(
      fc.property(call, (given) => {
        const resolved = outcomeOf(() => validateReadOptions(given as ReadOptions | undefined, defaults))
        if (resolved === 'refused') return
        expect(resolved.timeoutMs).toBeGreaterThan(0)
        expect(['linearizable', 'lease', 'eventual']).toContain(resolved.consistency)
      }),
      { numRuns: 1000 },
    )
  })
})

function expectSound(options: ResolvedOptions): void {
  const { members, id, listen } = options
  expect(options.heartbeatIntervalMs * 3).toBeLessThanOrEqual(options.electionTimeoutMs)
  expect(members.map((member) => member.id)).toContain(id)
  expect(new Set(members.map((member) => member.id)).size).toBe(members.length)
  if (members.length > 1) expect(listen).toBeDefined()
  for (const { address } of members) expect(address === '' || parseAddress(address) !== undefined).toBe(true)
}
