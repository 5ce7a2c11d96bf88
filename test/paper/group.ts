import type { Answer, Effect } from '../../src/machines/effects.js'
import { invariant } from '../../src/machines/invariant.js'
import type { Message } from '../../src/machines/messages.js'
import type { LogIndex, ServerId } from '../../src/machines/types.js'
import { Machine, piece, snapshotId, type Setup } from '../machine-harness.js'

/**
 * Machines that hear each other at once and whose disks answer at once. Whatever they decide is compared: no two may
 * decide differently (State Machine Safety, §5.4.3).
 */
export class Group {
  readonly answers: Answer[] = []
  readonly #machines: ReadonlyMap<ServerId, Machine>
  readonly #cutOff = new Set<ServerId>()
  readonly #decided = new Map<LogIndex, number>()
  readonly #letters: { readonly from: ServerId; readonly to: ServerId; readonly message: Message }[] = []

  constructor(setups: readonly (Setup & { readonly id: ServerId })[]) {
    this.#machines = new Map(setups.map((setup) => [setup.id, new Machine({ seed: setup.id, ...setup })]))
  }

  of(id: ServerId): Machine {
    const machine = this.#machines.get(id)
    invariant(machine !== undefined, 'a machine is in its group', id)
    return machine
  }

  /** The leader of the highest term. */
  get leader(): Machine {
    const leaders = [...this.#machines.values()].filter(({ role }) => role === 'leader')
    const [newest] = leaders.sort((one, other) => other.term - one.term)
    invariant(newest !== undefined, 'a group has a leader when it is asked for')
    return newest
  }

  get hasLeader(): boolean {
    return [...this.#machines.values()].some(({ role }) => role === 'leader')
  }

  /** These servers are heard by nobody, and hear nobody, until `join`. */
  cutOff(...ids: readonly ServerId[]): void {
    for (const id of ids) this.#cutOff.add(id)
  }

  join(...ids: readonly ServerId[]): void {
    for (const id of ids) this.#cutOff.delete(id)
  }

  /** Does what a machine wants done, and all that follows. */
  perform(machine: Machine, effects: readonly Effect[]): void {
    this.#take(machine, effects)
    for (let letter = this.#letters.shift(); letter !== undefined; letter = this.#letters.shift()) {
      const { from, to, message } = letter
      const receiver = this.#machines.get(to)
      if (receiver === undefined || this.#cutOff.has(from) || this.#cutOff.has(to)) continue
      this.#take(receiver, receiver.receive(from, message))
    }
  }

  /** Time goes on for all, millisecond by millisecond, until the condition holds. */
  until(condition: () => boolean): void {
    for (let passed = 0; !condition(); passed++) {
      invariant(passed < 20_000, 'what is waited for comes within twenty election timeouts')
      for (const machine of this.#machines.values()) this.perform(machine, machine.advance(1))
    }
  }

  #take(machine: Machine, effects: readonly Effect[]): void {
    const from = machine.context.id
    for (const effect of effects) {
      if (effect.type === 'sendMessages') this.#letters.push(...effect.messages.map((one) => ({ from, ...one })))
      else if (effect.type === 'answerRequests') this.answers.push(...effect.answers)
      else if (effect.type === 'commit') effect.commits.forEach(({ runs }) => runs.forEach((run) => this.#decide(run)))
      else if (effect.type === 'readEntries') {
        for (const request of effect.requests) this.#take(machine, machine.completeRead(request))
      } else if (effect.type === 'workOnSnapshots') {
        for (const work of effect.works) this.#transfer(machine, work)
      }
    }
    if (machine.writes.length > 0) this.#take(machine, machine.completeWrites())
  }

  #decide({ firstIndex, checksum }: { readonly firstIndex: LogIndex; readonly checksum: number }): void {
    const before = this.#decided.get(firstIndex)
    invariant(before === undefined || before === checksum, 'no two servers decide differently', firstIndex)
    this.#decided.set(firstIndex, checksum)
  }

  /** A snapshot is one piece here, of the log up to its sender's boundary. */
  #transfer(machine: Machine, work: Extract<Effect, { type: 'workOnSnapshots' }>['works'][number]): void {
    const { boundary } = machine.context.log
    if (work.type === 'stream') {
      const message = piece(machine.term, snapshotId(boundary.index, boundary.term))
      this.#letters.push({ from: machine.context.id, to: work.peer, message })
    } else if (work.type === 'receive') {
      const stored = { id: work.message.snapshot, boundary: this.of(work.from).context.log.boundary }
      this.#take(machine, machine.send({ type: 'snapshotReceived', from: work.from, stored }))
    }
  }
}
