import { type Random, seededRandom } from '../machines/time-and-chance.js'
import type { CommittedBatch, StateMachine } from '../state-machines/ports.js'

/** A claim about an implementation, for any test runner: `it(name, check)`. Fails by throwing. */
export interface StateMachineCheck {
  readonly name: string
  readonly check: () => void
}

/** The state machine to be checked, and commands for it. */
export interface StateMachineSubject<Command, Result> {
  /** A new, empty one. */
  create(): StateMachine<Command, Result>
  /**
   * A command chosen by `random`. The more they meet (few keys, conditions that hold and fail), the more is checked.
   * Buffers in it are made for it: the suite overwrites them.
   */
  command(random: Random): Command
}

const COMMANDS = 200
const SEEDS = [1, 2, 3] as const
const BATCHES_MAX = 17
const PIECE_BYTES_MAX = 100
const GUARD = 0xee

/**
 * What every `StateMachine` must do, as checks to run on yours. Two machines with the same history must also give the
 * same snapshot, byte for byte; one restored from a snapshot must only go on as the original does.
 */
export function stateMachineSuite<Command, Result>(
  subject: StateMachineSubject<Command, Result>,
): readonly StateMachineCheck[] {
  const claims: readonly (readonly [string, (trial: Trial<Command, Result>) => void])[] = [
    ['the codec fills exactly the room it asks for', codecFillsItsRoom],
    ["a command's buffers may change once it is written", codecCopies],
    ['the same batches give the same results and the same snapshot', sameHistorySameState],
    ['each command has one result', oneResultEach],
    ['a command sees the writes of those before it in its batch, however the batches are cut', cutsDoNotMatter],
    ['unwanted results change nothing', unwantedResultsChangeNothing],
    ["applying leaves a batch's bytes as they are", applyingLeavesBytes],
    ["a batch's bytes may change once it is applied", appliedBytesMayChange],
    ['later batches do not change a snapshot', snapshotHolds],
    ["a snapshot's chunks may change once they are yielded", chunksAreCopies],
    ['a restored machine goes on as the original does', restoredGoesOn],
    ['restoring replaces what was there', restoringReplaces],
    ["a sink's chunks may change as soon as they are written", restoredChunksMayChange],
    ['a snapshot is restored however its bytes are cut', cutSnapshotIsRestored],
    ['until the end of a restore the old state goes on', oldStateGoesOnUntilEnd],
    ['a restore that is abandoned or incomplete changes nothing', unfinishedRestoreChangesNothing],
  ]
  return claims.map(([name, claim]) => ({
    name,
    check: () => SEEDS.forEach((seed) => claim(trialOf(subject, seed))),
  }))
}

/** One run of a claim: commands drawn from a seed. */
interface Trial<Command, Result> {
  readonly random: Random
  readonly seed: number
  create(): StateMachine<Command, Result>
  command(): Command
  /** Encoded commands, in order. */
  readonly payloads: readonly Uint8Array[]
}

function trialOf<Command, Result>(subject: StateMachineSubject<Command, Result>, seed: number): Trial<Command, Result> {
  const random = seededRandom(seed)
  const { commands } = subject.create()
  const payloads = Array.from({ length: COMMANDS }, () => {
    const command = subject.command(random)
    const bytes = new Uint8Array(commands.sizeOf(command))
    commands.write(command, bytes, 0)
    return bytes
  })
  return { random, seed, create: () => subject.create(), command: () => subject.command(random), payloads }
}

function codecFillsItsRoom<Command, Result>(trial: Trial<Command, Result>): void {
  const { commands } = trial.create()
  for (let i = 0; i < COMMANDS; i++) {
    const command = trial.command()
    const size = commands.sizeOf(command)
    const [first, second] = [GUARD, 0].map((filler) => {
      const target = new Uint8Array(size + 10).fill(filler)
      commands.write(command, target, 3)
      expectThat(target.subarray(0, 3).every(is(filler)), trial, 'write touched bytes before its room')
      expectThat(target.subarray(3 + size).every(is(filler)), trial, 'write touched bytes after its room')
      return target.subarray(3, 3 + size)
    })
    expectSame(first, second, trial, 'write left some of its room as it was')
  }
}

function is(wanted: number): (byte: number) => boolean {
  return (byte) => byte === wanted
}

function codecCopies<Command, Result>(trial: Trial<Command, Result>): void {
  const { commands } = trial.create()
  for (let i = 0; i < COMMANDS; i++) {
    const command = trial.command()
    const target = new Uint8Array(commands.sizeOf(command))
    commands.write(command, target, 0)
    const before = target.slice()
    overwriteBuffers(command)
    expectSame(target, before, trial, "a change of the command's buffers shows in what was written")
  }
}

function sameHistorySameState<Command, Result>(trial: Trial<Command, Result>): void {
  const [first, second] = [trial.create(), trial.create()]
  for (const batch of batchesOf(trial)) {
    expectSame(first.apply(batch), second.apply(batch), trial, `results differ from index ${batch.firstIndex}`)
  }
  expectSame(wholeOf(first), wholeOf(second), trial, 'snapshots differ')
}

function oneResultEach<Command, Result>(trial: Trial<Command, Result>): void {
  const machine = trial.create()
  for (const batch of batchesOf(trial)) {
    const { length } = machine.apply(batch)
    expectThat(length === batch.count, trial, `${length} results for ${batch.count} commands`)
  }
}

function cutsDoNotMatter<Command, Result>(trial: Trial<Command, Result>): void {
  const apply = (cuts: readonly number[]) => {
    const machine = trial.create()
    const results = batchesCut(trial, cuts).flatMap((batch) => [...machine.apply(batch)])
    return { results, snapshot: wholeOf(machine) }
  }
  const together = apply([COMMANDS])
  const singly = apply(Array.from({ length: COMMANDS }, () => 1))
  expectSame(together.results, singly.results, trial, 'one batch and single commands differ in their results')
  expectSame(together.snapshot, singly.snapshot, trial, 'one batch and single commands differ in their snapshots')
  expectSame(apply(randomCuts(trial.random)), together, trial, 'random cuts differ from one batch')
}

function unwantedResultsChangeNothing<Command, Result>(trial: Trial<Command, Result>): void {
  const [asked, unasked] = [trial.create(), trial.create()]
  for (const batch of batchesOf(trial)) {
    asked.apply(batch)
    const results = unasked.apply({ ...batch, resultsWanted: false })
    expectThat(results.length === 0, trial, `${results.length} results came although none were wanted`)
  }
  expectSame(wholeOf(unasked), wholeOf(asked), trial, 'snapshots differ')
}

function applyingLeavesBytes<Command, Result>(trial: Trial<Command, Result>): void {
  const machine = trial.create()
  for (const batch of batchesOf(trial)) {
    const before = Uint8Array.from(batch.bytes)
    machine.apply(batch)
    expectSame(Uint8Array.from(batch.bytes), before, trial, `the bytes changed from index ${batch.firstIndex}`)
  }
}

function appliedBytesMayChange<Command, Result>(trial: Trial<Command, Result>): void {
  const [overwritten, left] = [trial.create(), trial.create()]
  const overwrittenBatches = batchesOf(trial)
  const leftBatches = batchesCut(
    trial,
    overwrittenBatches.map(({ count }) => count),
  )
  leftBatches.forEach((batch, i) => {
    const other = overwrittenBatches[i] ?? batch
    const results = overwritten.apply(other)
    other.bytes.fill(GUARD)
    expectSame(results, left.apply(batch), trial, `results differ from index ${batch.firstIndex}`)
  })
  expectSame(wholeOf(overwritten), wholeOf(left), trial, 'snapshots differ')
}

function snapshotHolds<Command, Result>(trial: Trial<Command, Result>): void {
  const machine = trial.create()
  const [early, late] = halvesOf(batchesOf(trial))
  early.forEach((batch) => machine.apply(batch))
  const before = wholeOf(machine)
  const chunks = machine.snapshot()[Symbol.iterator]()
  const untouched = machine.snapshot()
  const first = chunks.next()
  late.forEach((batch) => machine.apply(batch))
  const rest = [...{ [Symbol.iterator]: () => chunks }]
  const begun = joined(first.done === true ? rest : [first.value, ...rest])
  expectSame(begun, before, trial, 'a snapshot begun before a batch shows it')
  expectSame(joined(untouched), before, trial, 'a snapshot taken before a batch and read after it shows it')
}

function chunksAreCopies<Command, Result>(trial: Trial<Command, Result>): void {
  const machine = trial.create()
  batchesOf(trial).forEach((batch) => machine.apply(batch))
  const before = wholeOf(machine)
  for (const chunk of machine.snapshot()) chunk.fill(GUARD)
  expectSame(wholeOf(machine), before, trial, 'a change of the chunks shows in the next snapshot')
}

function restoredGoesOn<Command, Result>(trial: Trial<Command, Result>): void {
  const [original, restored] = [trial.create(), trial.create()]
  const [early, late] = halvesOf(batchesOf(trial))
  early.forEach((batch) => original.apply(batch))
  restoreFrom(restored, original.snapshot())
  expectSameFuture(original, restored, late, trial)
}

function restoringReplaces<Command, Result>(trial: Trial<Command, Result>): void {
  const [original, restored, empty] = [trial.create(), trial.create(), trial.create()]
  const [early, late] = halvesOf(batchesOf(trial))
  restoreFrom(restored, empty.snapshot())
  batchesOf(trial).forEach((batch) => restored.apply(batch))
  early.forEach((batch) => original.apply(batch))
  restoreFrom(restored, original.snapshot())
  expectSameFuture(original, restored, late, trial)
  restoreFrom(restored, empty.snapshot())
  expectSameFuture(empty, restored, early, trial)
}

function restoredChunksMayChange<Command, Result>(trial: Trial<Command, Result>): void {
  const [original, restored] = [trial.create(), trial.create()]
  const [early, late] = halvesOf(batchesOf(trial))
  early.forEach((batch) => original.apply(batch))
  const sink = restored.restore()
  for (const chunk of original.snapshot()) {
    const reused = likeNodeBuffer(Uint8Array.from(chunk))
    sink.write(reused)
    reused.fill(GUARD)
  }
  sink.end()
  expectSameFuture(original, restored, late, trial)
}

function cutSnapshotIsRestored<Command, Result>(trial: Trial<Command, Result>): void {
  const [original, restored] = [trial.create(), trial.create()]
  const [early, late] = halvesOf(batchesOf(trial))
  early.forEach((batch) => original.apply(batch))
  const whole = wholeOf(original)
  const sink = restored.restore()
  for (let at = 0; at < whole.length;) {
    const size = trial.random.uint32() % PIECE_BYTES_MAX
    sink.write(whole.slice(at, at + size))
    at += size
  }
  sink.end()
  expectSameFuture(original, restored, late, trial)
}

function oldStateGoesOnUntilEnd<Command, Result>(trial: Trial<Command, Result>): void {
  const [original, machine, twin] = [trial.create(), trial.create(), trial.create()]
  const [early, late] = halvesOf(batchesOf(trial))
  early.forEach((batch) => original.apply(batch))
  const sink = machine.restore()
  for (const chunk of original.snapshot()) sink.write(chunk)
  expectSameFuture(twin, machine, early, trial)
  expectSame(wholeOf(machine), wholeOf(twin), trial, 'a snapshot taken during a restore differs')
  sink.end()
  expectSameFuture(original, machine, late, trial)
}

function unfinishedRestoreChangesNothing<Command, Result>(trial: Trial<Command, Result>): void {
  const [original, machine, twin] = [trial.create(), trial.create(), trial.create()]
  const [early, late] = halvesOf(batchesOf(trial))
  early.forEach((batch) => original.apply(batch))
  late.forEach((batch) => [machine, twin].forEach((each) => each.apply(batch)))
  const abandoned = machine.restore()
  for (const chunk of original.snapshot()) abandoned.write(chunk)
  abandoned.abandon()
  abandoned.abandon()
  const cutShort = machine.restore()
  const whole = wholeOf(original)
  expectThat(
    throws(() => {
      cutShort.write(whole.slice(0, -1))
      cutShort.end()
    }),
    trial,
    'a snapshot without its last byte was taken for a whole one',
  )
  cutShort.abandon()
  expectSame(wholeOf(machine), wholeOf(twin), trial, 'snapshots differ')
  expectSameFuture(twin, machine, early, trial)
}

function restoreFrom<Command, Result>(machine: StateMachine<Command, Result>, chunks: Iterable<Uint8Array>): void {
  const sink = machine.restore()
  for (const chunk of chunks) sink.write(chunk)
  sink.end()
}

function throws(act: () => void): boolean {
  try {
    act()
    return false
  } catch {
    return true
  }
}

function expectSameFuture<Command, Result>(
  one: StateMachine<Command, Result>,
  other: StateMachine<Command, Result>,
  batches: readonly CommittedBatch[],
  trial: Trial<Command, Result>,
): void {
  for (const batch of batches) {
    expectSame(other.apply(batch), one.apply(batch), trial, `results differ from index ${batch.firstIndex}`)
  }
}

/** What Node's `Buffer` does to those who take it for a plain Uint8Array: its `slice` copies nothing. */
function likeNodeBuffer(bytes: Uint8Array): Uint8Array {
  return Object.assign(bytes, { slice: (start?: number, end?: number) => bytes.subarray(start, end) })
}

function batchesOf<Command, Result>(trial: Trial<Command, Result>): CommittedBatch[] {
  return batchesCut(trial, randomCuts(trial.random))
}

/** The trial's commands in batches of so many. */
function batchesCut<Command, Result>(trial: Trial<Command, Result>, cuts: readonly number[]): CommittedBatch[] {
  let done = 0
  return cuts.map((count) => {
    const batch = batchOf(trial.payloads.slice(done, done + count), done + 1)
    done += count
    return batch
  })
}

function randomCuts(random: Random): number[] {
  const cuts: number[] = []
  for (let left = COMMANDS; left > 0;) {
    const count = Math.min(left, 1 + (random.uint32() % BATCHES_MAX))
    cuts.push(count)
    left -= count
  }
  return cuts
}

/** As it lies in a run: foreign bytes before, between and after the commands. */
function batchOf(payloads: readonly Uint8Array[], firstIndex: number): CommittedBatch {
  const size = payloads.reduce((sum, payload) => sum + payload.length + 5, 7)
  const bytes = likeNodeBuffer(new Uint8Array(size).fill(GUARD))
  const bounds = new Uint32Array(payloads.length * 2)
  let at = 7
  payloads.forEach((payload, i) => {
    bytes.set(payload, at)
    bounds[2 * i] = at
    bounds[2 * i + 1] = at + payload.length
    at += payload.length + 5
  })
  // Time stands still, so that it is the same however the commands are cut into batches.
  const times = { clusterTime: 1000, wallTime: 1_700_000_000_000 }
  return { firstIndex, term: 1, count: payloads.length, ...times, bytes, bounds, resultsWanted: true }
}

function halvesOf<Item>(items: readonly Item[]): [Item[], Item[]] {
  const middle = items.length >> 1
  return [items.slice(0, middle), items.slice(middle)]
}

function wholeOf<Command, Result>(machine: StateMachine<Command, Result>): Uint8Array {
  return joined(machine.snapshot())
}

function joined(chunks: Iterable<Uint8Array>): Uint8Array {
  return Uint8Array.from([...chunks].flatMap((chunk) => [...chunk]))
}

function overwriteBuffers(value: unknown): void {
  if (value instanceof Uint8Array) value.fill(GUARD)
  else if (typeof value === 'object' && value !== null) Object.values(value).forEach(overwriteBuffers)
}

function expectThat<Command, Result>(holds: boolean, trial: Trial<Command, Result>, fault: string): void {
  if (!holds) throw new Error(`${fault} (seed ${trial.seed})`)
}

function expectSame<Command, Result>(
  found: unknown,
  wanted: unknown,
  trial: Trial<Command, Result>,
  fault: string,
): void {
  expectThat(same(found, wanted), trial, fault)
}

/** Deep equality of plain values, arrays and byte arrays. */
function same(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  const [entries, others] = [Object.entries(one), new Map<string, unknown>(Object.entries(other))]
  return (
    entries.length === others.size &&
    entries.every(([name, value]) => others.has(name) && same(value, others.get(name)))
  )
}
