import fc from 'fast-check'
import { vi } from 'vitest'
import {
  describeFault,
  KvScenario,
  type Fault,
  type FaultKind,
  type KvCall,
  type KvScenarioOptions,
} from '../../src/testing/index.js'
import { faultsOf } from './fault-arbitrary.js'

/** Some seconds on a quiet machine, and more when a story has to be shrunk. */
vi.setConfig({ testTimeout: 120_000 })

/** One step of a story; a failure shrinks to the few that are needed for it. */
abstract class Step implements fc.Command<object, KvScenario> {
  check(): boolean {
    return true
  }

  abstract run(model: object, scenario: KvScenario): void
  abstract toString(): string
}

export class Strike extends Step {
  constructor(
    readonly fault: Fault,
    readonly forMs: number,
  ) {
    super()
  }

  run(_: object, scenario: KvScenario): void {
    scenario.inject(this.fault, this.forMs)
  }

  toString(): string {
    return `${describeFault(this.fault)}, for ${this.forMs} ms`
  }
}

export class Pass extends Step {
  constructor(readonly ms: number) {
    super()
  }

  run(_: object, scenario: KvScenario): void {
    scenario.pass(this.ms)
  }

  toString(): string {
    return `${this.ms} ms pass`
  }
}

/** A client that waits for an answer is left waiting. */
export class Call extends Step {
  constructor(
    readonly client: number,
    readonly server: number,
    readonly call: KvCall,
  ) {
    super()
  }

  run(_: object, scenario: KvScenario): void {
    const client = scenario.clients[this.client]
    const call = this.call.op === 'cas' ? { ...this.call, expected: client?.lastSeen ?? null } : this.call
    client?.call(this.server, call)
  }

  toString(): string {
    const { op, key } = this.call
    return `c${this.client + 1}: ${op} ${key} at ${this.server}${this.call.op === 'get' ? ` (${this.call.consistency})` : ''}`
  }
}

const KEYS = ['a', 'b']
const key = fc.constantFrom(...KEYS)
const call: fc.Arbitrary<KvCall> = fc.oneof(
  fc.record({ op: fc.constant('put'), key }),
  fc.record({ op: fc.constant('cas'), key, expected: fc.constant(null) }),
  fc.record({ op: fc.constant('delete'), key }),
  fc.record({ op: fc.constant('get'), key, consistency: fc.constantFrom('linearizable', 'lease', 'eventual') }),
)

/** What fast-check prints of a failure beside the seed, to play that story alone; see docs/testing.md. */
const REPLAY = {
  path: process.env['FAST_CHECK_PATH'] ?? '',
  replayPath: process.env['FAST_CHECK_REPLAY_PATH'] ?? '',
}

export interface Play extends Omit<KvScenarioOptions, 'seed'> {
  /** The faults that may strike. */
  readonly faults: readonly FaultKind[]
  /** How many stories. Default 25. */
  readonly stories?: number
  /** More to be claimed of a story once it has ended well. */
  readonly claim?: (scenario: KvScenario) => void
}

/**
 * Plays random stories against a simulated cluster: every law is judged after every step, and the end is judged after
 * all faults are healed.
 */
export function playStories({ faults, stories = 25, claim, ...options }: Play): void {
  const { servers: voters = 3, spares = 0, clients = 3 } = options
  const servers = voters + spares
  const commands = fc.commands(
    [
      fc
        .tuple(faultsOf(faults, servers), fc.constantFrom(20, 120, 500))
        .map(([fault, forMs]) => new Strike(fault, forMs)),
      fc.constantFrom(1, 10, 60, 250).map((ms) => new Pass(ms)),
      fc
        .tuple(fc.nat(clients - 1), fc.integer({ min: 1, max: servers }), call)
        .map(([client, server, call]) => new Call(client, server, call)),
    ],
    { maxCommands: 90, size: 'max', replayPath: REPLAY.replayPath },
  )
  const property = fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), commands, (seed, steps) => {
    const scenario = new KvScenario({ ...options, clients, seed })
    scenario.useKeys(KEYS)
    scenario.cluster.network.setFaults({ delayMs: [0, 3] })
    fc.modelRun(() => ({ model: {}, real: scenario }), steps)
    scenario.finish()
    claim?.(scenario)
  })
  fc.assert(property, { numRuns: stories, path: REPLAY.path })
}
