import type { Revision } from './history.js'
import { LinkedLists } from './linked-lists.js'
import type { EventOrder } from './order.js'
import { orderEvents } from './order.js'
import type { Step } from './register.js'
import { isPure } from './register.js'
import type { Span } from './revisions.js'

/** One operation as the search sees it. */
export interface Placeable {
  /** `return` Infinity: it never returned, and need not be placed. */
  readonly span: Span
  readonly step: Step
  readonly revision: Revision | undefined
}

const ALL = 0

/** The operations of one key that are not yet placed, in every order that the search asks for. */
export class Board {
  readonly operations: readonly Placeable[]
  readonly order: EventOrder
  /** The numbers of the operations that return, which are those below this. */
  readonly returning: number
  /** What was called before the first return, in the order of calls. Set by `look`. */
  under: number[] = []
  /** The operation whose return is the first. Set by `look`; -1 when nothing is left. */
  firstToReturn = -1
  readonly #events: LinkedLists
  /** For each value, the steps that wait for it, the first to return first. */
  readonly #waiting: LinkedLists
  /** For each value, the steps that would leave it, the first called first. */
  readonly #writing: LinkedLists
  /** Writes with revisions, the lowest first. */
  readonly #revised: LinkedLists

  /** `operations`: those that return first, then those that never do. */
  constructor(operations: readonly Placeable[]) {
    this.operations = operations
    this.returning = operations.filter(({ span }) => span.return !== Infinity).length
    this.order = orderEvents(operations.map(({ span }) => span))
    const { callAt, returnAt, owner } = this.order
    const values = 1 + operations.reduce((most, { step }) => Math.max(most, step.value, step.writes ?? 0), 0)
    const numbers = [...operations.keys()].slice(0, this.returning)
    const step = (number: number): Step => operations[number]!.step
    const by = (places: Int32Array) => numbers.toSorted((a, b) => places[a]! - places[b]!)

    this.#events = new LinkedLists(owner.length, 1)
    owner.forEach((number, position) => number < this.returning && this.#events.append(ALL, position))
    this.#waiting = new LinkedLists(this.returning, values)
    for (const number of by(returnAt)) if (isWaiting(step(number))) this.#waiting.append(step(number).value, number)
    this.#writing = new LinkedLists(this.returning, values)
    for (const number of by(callAt)) if (isWriting(step(number))) this.#writing.append(step(number).writes ?? 0, number)
    this.#revised = new LinkedLists(this.returning, 1)
    for (const number of byRevision(operations, numbers)) this.#revised.append(ALL, number)
  }

  /** Finds what may come next. */
  look(): void {
    this.under = []
    this.firstToReturn = -1
    const { owner, callAt } = this.order
    for (let event = this.#events.first(ALL); event >= 0; event = this.#events.after(event)) {
      const number = owner[event]!
      if (callAt[number] !== event) {
        this.firstToReturn = number
        return
      }
      this.under.push(number)
    }
  }

  get isEmpty(): boolean {
    return this.#events.first(ALL) < 0
  }

  /** Takes an operation that returns off the board. */
  place(number: number): void {
    const { step, revision } = this.operations[number]!
    this.#events.remove(this.order.callAt[number]!)
    this.#events.remove(this.order.returnAt[number]!)
    if (isWaiting(step)) this.#waiting.remove(number)
    if (isWriting(step)) this.#writing.remove(number)
    if (revision !== undefined) this.#revised.remove(number)
  }

  /** Puts back the operation placed last. */
  retract(number: number): void {
    const { step, revision } = this.operations[number]!
    if (revision !== undefined) this.#revised.restore(number)
    if (isWriting(step)) this.#writing.restore(number)
    if (isWaiting(step)) this.#waiting.restore(number)
    this.#events.restore(this.order.returnAt[number]!)
    this.#events.restore(this.order.callAt[number]!)
  }

  /** Whether revisions let this operation come next. */
  isItsTurn(number: number): boolean {
    return this.operations[number]!.revision === undefined || this.#revised.first(ALL) === number
  }

  /** The first to return of the steps that wait for `value`, other than `except`; -1 for none. */
  firstWaiting(value: number, except: number): number {
    const first = this.#waiting.first(value)
    return first === except && first >= 0 ? this.#waiting.after(first) : first
  }

  /** The first called of the returning steps that would leave `value`; -1 for none. */
  firstWriting(value: number): number {
    return this.#writing.first(value)
  }
}

function isWaiting(step: Step): boolean {
  return step.when === 'is'
}

function isWriting(step: Step): boolean {
  return step.writes !== undefined && !isPure(step)
}

function byRevision(operations: readonly Placeable[], numbers: readonly number[]): number[] {
  const revision = (number: number): number => operations[number]!.revision ?? 0
  return numbers
    .filter((number) => operations[number]!.revision !== undefined)
    .sort((a, b) => revision(a) - revision(b))
}
