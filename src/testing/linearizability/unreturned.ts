import type { Board } from './board.js'
import type { Step } from './register.js'
import { holds, UNASKED } from './register.js'

/** Writes that never returned and do the same. */
interface Kind {
  readonly step: Step
  readonly writes: number
  /** Their numbers, the first called first. */
  readonly members: readonly number[]
  /** The first of the kinds that are possible at the same values. */
  readonly alike: number
}

/** How many of each kind have been used. Never changed once made. */
export type Usage = Uint16Array

/** The writes of one key that never returned: each may be used once, at any time after its call, or not at all. */
export class Unreturned {
  readonly #board: Board
  readonly #kinds: readonly Kind[]
  /** For each value, the kinds that leave it. */
  readonly #leaving = new Map<number, number[]>()
  /** Values that a never-returned write waits for. */
  readonly #chained: ReadonlySet<number>
  /** Values that some step must not find. */
  readonly #shunned: ReadonlySet<number>

  constructor(board: Board) {
    this.#board = board
    this.#kinds = kindsOf(board)
    this.#kinds.forEach(({ writes }, kind) => {
      this.#leaving.set(writes, [...(this.#leaving.get(writes) ?? []), kind])
    })
    this.#chained = new Set(this.#kinds.flatMap(({ step }) => (step.when === 'is' ? [step.value] : [])))
    const steps = board.operations.map(({ step }) => step)
    this.#shunned = new Set(steps.flatMap(({ when, value }) => (when === 'isnt' ? [value] : [])))
  }

  get unused(): Usage {
    return new Uint16Array(this.#kinds.length)
  }

  used(usage: Usage, kind: number): Usage {
    const more = usage.slice()
    more[kind]! += 1
    return more
  }

  step(kind: number): Step {
    return this.#kinds[kind]!.step
  }

  /** The next of its kind to be used; undefined when all are. */
  next(kind: number, usage: Usage): number | undefined {
    return this.#kinds[kind]!.members[usage[kind]!]
  }

  /** Whether one that is left could leave `value` before `event`. */
  canLeave(value: number, usage: Usage, event: number): boolean {
    return this.#leaving.get(value)?.some((kind) => this.#isCalled(kind, usage, event)) === true
  }

  /**
   * The kinds worth using at `state`: those after which something under way becomes possible that is not possible now,
   * or that begin a chain to it. Of several that leave the same value one is enough: a compare-and-swap before a put,
   * either before a chain. Where an order uses the other one here and this one later, they can be swapped, for what is
   * not used here is possible wherever this one is. And of values that nothing will ever tell apart, one is enough.
   */
  wanted(state: number, usage: Usage): number[] {
    const steps = this.#board.under.map((number) => this.#board.operations[number]!.step)
    const direct = this.#direct(state, usage)
    const wanted = new Set<number>()
    if (steps.some(({ when, value }) => when === 'isnt' && value === state)) {
      for (const kind of direct.values()) wanted.add(kind)
    }
    for (const value of new Set(steps.flatMap((step) => (step.when === 'is' ? [step.value] : [])))) {
      const kind = direct.get(value)
      if (kind !== undefined) wanted.add(kind)
      else if (value !== state) for (const first of this.#chainsTo(value, direct, usage)) wanted.add(first)
    }
    return [...wanted]
  }

  /**
   * A usage in which what makes no difference any more is added up: how many were used of kinds whose values are not
   * told apart, together, and of each other kind. Comparable between configurations that have the same steps left.
   */
  essential(usage: Usage): Usage {
    const essential = usage.slice()
    this.#kinds.forEach(({ writes, alike }, kind) => {
      if (alike === kind || this.#isToldApart(writes)) return
      essential[alike]! += usage[kind]!
      essential[kind] = 0
    })
    return essential
  }

  /** For each value that a write called by now can leave at `state`, the kind to use. */
  #direct(state: number, usage: Usage): Map<number, number> {
    const direct = new Map<number, number>()
    this.#kinds.forEach(({ step, writes }, kind) => {
      if (writes === state || !holds(step, state) || !this.#isCalledNow(kind, usage)) return
      const value = this.#isToldApart(writes) ? writes : UNASKED
      if (step.when === 'is' || !direct.has(value)) direct.set(value, kind)
    })
    return direct
  }

  /** The direct kinds from whose values never-returned compare-and-swaps lead on to `value`. */
  #chainsTo(value: number, direct: ReadonlyMap<number, number>, usage: Usage): number[] {
    const reached = new Set([value])
    for (const target of reached) {
      for (const kind of this.#leaving.get(target) ?? []) {
        const { step } = this.#kinds[kind]!
        if (step.when === 'is' && this.#isCalledNow(kind, usage)) reached.add(step.value)
      }
    }
    return [...reached].flatMap((from) => direct.get(from) ?? [])
  }

  /** Whether any step left, or any never-returned write, asks about this value. */
  #isToldApart(value: number): boolean {
    return this.#shunned.has(value) || this.#chained.has(value) || this.#board.firstWaiting(value, -1) >= 0
  }

  #isCalledNow(kind: number, usage: Usage): boolean {
    return this.#isCalled(kind, usage, this.#board.order.returnAt[this.#board.firstToReturn]!)
  }

  #isCalled(kind: number, usage: Usage, event: number): boolean {
    const next = this.next(kind, usage)
    return next !== undefined && this.#board.order.callAt[next]! < event
  }
}

function kindsOf({ operations, order, returning }: Board): Kind[] {
  const groups = new Map<string, number[]>()
  const numbers = [...operations.keys()].slice(returning)
  for (const number of numbers.sort((a, b) => order.callAt[a]! - order.callAt[b]!)) {
    const { when, value, writes } = operations[number]!.step
    const name = `${when} ${value} ${writes}`
    groups.set(name, [...(groups.get(name) ?? []), number])
  }
  const alike = new Map<string, number>()
  return [...groups.values()].map((members, kind) => {
    const { step } = operations[members[0]!]!
    const condition = `${step.when} ${step.value}`
    if (!alike.has(condition)) alike.set(condition, kind)
    return { step, writes: step.writes ?? step.value, members, alike: alike.get(condition) ?? kind }
  })
}
