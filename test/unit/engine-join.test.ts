import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemberLookup } from '../../src/actors/member-lookup.js'
import { Joining } from '../../src/engine-join.js'
import { validateOptions } from '../../src/options.js'
import type { JoinAnswer, JoinCallback, JoinRequest } from '../../src/transport/ports.js'
import { heartbeat, Machine, T } from '../machine-harness.js'

const ADDRESS = 'host:4'
const SILENCE_MS = 2 * T
const ACCEPTED_AT = 5
const ACCEPTED: JoinAnswer = {
  kind: 'accepted',
  clusterId: 'c',
  members: [{ id: 1, address: 'host:1' }],
  asOf: { index: ACCEPTED_AT, term: 1 },
}
const UNREACHED = `server 4 was let in at ${ADDRESS}, but no member has reached it there yet`

/** Server 4, with an empty directory, asks server 1 to be let in. */
class Newcomer {
  readonly requests: JoinRequest[] = []
  readonly told: string[] = []
  readonly machine = new Machine({ id: 4, configuration: { voters: [], learners: [] } })
  readonly joining: Joining
  #callback: JoinCallback | undefined

  constructor() {
    const transport = {
      ask: (_: string, request: JoinRequest, callback: JoinCallback) => {
        this.requests.push(request)
        this.#callback = callback
      },
      setPeers: () => undefined,
      setClusterId: () => undefined,
    }
    const { machine } = this
    const self = { id: 4, address: ADDRESS }
    const lookup = new MemberLookup({
      transport,
      context: () => machine.context,
      acquaintances: [],
      clusterId: () => undefined,
      self,
      notice: () => undefined,
    })
    const log = ({ message }: { readonly message: string }): void => void this.told.push(message)
    const join = ['host:1']
    const options = validateOptions({ dataDir: './data', id: 4, listen: ADDRESS, join, electionTimeoutMs: T, log })
    const server = {
      get context() {
        return machine.context
      },
      changeMembership: () => undefined,
      clusterId: undefined,
      lookup,
      isStopped: false,
    }
    this.joining = new Joining(options, transport, server, { storeId: 'd', fresh: true, address: ADDRESS })
    this.joining.begin()
  }

  /** What it has asked last is answered so. */
  answered(answer: JoinAnswer): void {
    this.#callback?.(undefined, answer)
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] }))
afterEach(() => void vi.useRealTimers())

describe('a server that was let in', () => {
  it('asks again, as one that is known, when nobody has reached it for two election timeouts', async () => {
    const newcomer = new Newcomer()
    newcomer.answered(ACCEPTED)
    await vi.advanceTimersByTimeAsync(SILENCE_MS - 300)
    expect(newcomer.told).toEqual([])
    expect(newcomer.requests).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(600)
    expect(newcomer.told).toEqual([UNREACHED])
    expect(newcomer.requests.map(({ isMoving }) => isMoving ?? false)).toEqual([false, true])
  })

  it('tells once that it is not reached, which keeps it from then on', async () => {
    const newcomer = new Newcomer()
    for (let i = 0; i < 3; i++) {
      newcomer.answered(ACCEPTED)
      expect(newcomer.joining.obstacle).toBe(i === 0 ? undefined : UNREACHED)
      await vi.advanceTimersByTimeAsync(SILENCE_MS + 300)
      expect(newcomer.joining.obstacle).toBe(UNREACHED)
    }
    expect(newcomer.told).toEqual([UNREACHED])
  })

  it('asks no more once a leader has reached it, however long it takes to bring it up to date', async () => {
    const newcomer = new Newcomer()
    newcomer.answered(ACCEPTED)
    newcomer.machine.receive(1, heartbeat(1, 1))
    await vi.advanceTimersByTimeAsync(10 * SILENCE_MS)
    expect(newcomer.requests).toHaveLength(1)
    expect(newcomer.told).toEqual([])
  })

  it('and removed since asks no more', async () => {
    const newcomer = new Newcomer()
    newcomer.answered(ACCEPTED)
    await vi.advanceTimersByTimeAsync(SILENCE_MS + 300)
    newcomer.answered({ kind: 'refused', reason: 'no member any more', removedBy: ACCEPTED_AT + 1 })
    await vi.advanceTimersByTimeAsync(10 * SILENCE_MS)
    expect(newcomer.requests).toHaveLength(2)
    expect(newcomer.told.at(-1)).toMatch(/^server 4 was removed by entry 6/)
  })

  it('by a leader that was deposed before others had the entry is a new one again', async () => {
    const newcomer = new Newcomer()
    newcomer.answered(ACCEPTED)
    await vi.advanceTimersByTimeAsync(SILENCE_MS + 300)
    newcomer.answered({ kind: 'refused', reason: 'no member any more', removedBy: ACCEPTED_AT - 1 })
    await vi.advanceTimersByTimeAsync(300)
    expect(newcomer.requests).toHaveLength(3)
    expect(newcomer.requests[2]).not.toHaveProperty('isMoving')
  })
})
