import { Dice, drawFault, Nemesis, SimulatedCluster, stateMachineSuite } from 'actorum/testing'
import type { CommittedBatch, FaultKind, SnapshotSink, StateMachine } from 'actorum/testing'

/** A sum. A command is what to add to it, its result what the sum has become. */
class Sum implements StateMachine<number, number> {
  #sum = 0

  readonly commands = {
    sizeOf: () => 4,
    write: (amount: number, target: Uint8Array, at: number) => viewOf(target).setInt32(at, amount),
  }

  apply({ bytes, bounds, count, resultsWanted }: CommittedBatch): number[] {
    const results: number[] = []
    for (let i = 0; i < count; i++) {
      this.#sum += viewOf(bytes).getInt32(bounds[2 * i] ?? 0)
      if (resultsWanted) results.push(this.#sum)
    }
    return results
  }

  snapshot(): Iterable<Uint8Array> {
    const bytes = new Uint8Array(8)
    viewOf(bytes).setFloat64(0, this.#sum)
    return [bytes]
  }

  restore(): SnapshotSink {
    const bytes = new Uint8Array(8)
    let length = 0
    return {
      write: (chunk) => {
        bytes.set(chunk, length) // throws when it is too long
        length += chunk.length
      },
      end: () => {
        if (length !== bytes.length) throw new Error('this is not a whole sum')
        this.#sum = viewOf(bytes).getFloat64(0)
      },
      abandon: () => undefined,
    }
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

// One server's share: what every state machine must do. With a test runner: it(name, check)
const suite = stateMachineSuite({ create: () => new Sum(), command: (random) => random.uint32() % 1000 })
for (const { check } of suite) check()

// And a cluster of them, with a snapshot every 20 entries, so that servers restore what others took.
const snapshotting = { snapshotEntries: 20, snapshotLogBytes: 0, snapshotIntervalMs: 0, logEntriesKept: 5 }
const cluster = new SimulatedCluster({ seed: 1, servers: 5, stateMachine: () => new Sum(), snapshotting })
const dice = Dice.of(1, 'my faults')
const nemesis = new Nemesis(cluster, { durability: 'disk-first', dice })
const kinds: FaultKind[] = ['kill', 'crash', 'pause', 'partition', 'loss', 'torn write', 'corrupted record']
let [asked, acknowledged] = [0, 0]
const ignore = () => undefined // refused, or of unknown outcome

cluster.startAll()
for (let round = 0; round < 200; round++) {
  const heal = nemesis.inject(drawFault(dice, dice.pick(kinds), { servers: 5, drift: 'none' }))
  const { leader } = cluster
  if (leader !== undefined) asked++
  leader?.running?.calls.propose(1, undefined, () => acknowledged++, ignore)
  cluster.advance(100) // throws the first Violation
  heal?.()
  cluster.advance(dice.between(0, 400))
}
nemesis.healAll()
cluster.checkLiveness(20_000, () => nemesis.gone)

// Now the leader may be asked: what was acknowledged is there, and nothing that nobody asked for.
let sum = -1
cluster.advanceToLeader().running?.calls.propose(0, undefined, (result) => (sum = result), console.error)
cluster.advance(1000)
if (sum < acknowledged || sum > asked) throw new Error(`${acknowledged} to ${asked} were added, not ${sum}`)
