import type { Placeable } from './board.js'
import { Board } from './board.js'
import type { Step } from './register.js'
import { ABSENT, holds, isPure } from './register.js'
import type { Usage } from './unreturned.js'
import { Unreturned } from './unreturned.js'
import { Visited } from './visited.js'

export interface SearchResult {
  readonly outcome: 'placed' | 'stuck' | 'undecided'
  /** When placed: numbers of operations, with the never-returned ones that have a part in it. */
  readonly order: readonly number[]
  readonly steps: number
}

/** A choice: what could come next, and what has been tried of it. */
interface Frame {
  readonly state: number
  readonly usage: Usage
  /** Numbers of returning operations; or ~kind, for a kind of never-returned writes. */
  moves: readonly number[]
  tried: number
  /** Whether never-returned writes are among the moves already. They come last. */
  assisted: boolean
  /** The move now being followed. */
  following: number | undefined
}

/**
 * Looks for an order of one key's operations that a register could have gone through one at a time and that keeps
 * their order in time: Wing and Gong's search (1993) with Lowe's memory of configurations (2017).
 *
 * The list of events holds what is not yet placed. What may come next is what was called before the first return in
 * it; so everything that returned before that return is placed, and nothing called after it is. The first return, the
 * calls before it and the register's value *are* the configuration, whatever the length of the history.
 *
 * Where an order exists that continues from here, one exists that begins with a move tried here. What is left out, is
 * left out by exchange: take any order, move or swap an operation, and it is still an order.
 * - **A step that is possible and changes nothing is taken at once.** Moved here from later, it disturbs nothing.
 * - **Of equal steps possible now, the one that returns first is taken.** They can be swapped: both have been called,
 *   and wherever the first has a place, the other, which returns later, may stand.
 * - **Writes with revisions are taken in their order**, which is what revisions claim.
 * - **A value is not overwritten while a step waits for it that nothing could satisfy later**: no write of the same
 *   value is left that was called before that step's return.
 * - **A write that never returned is placed only where it is wanted**: where something that could come next is not
 *   possible now and would be then, or another never-returned write waits for its value. Anywhere else it can be moved
 *   later, for it has no end, until it is wanted, overwritten unseen, or at the history's end: and there it can be left
 *   out. Nothing here asks that values be unique. Those that do the same are used in the order of their calls.
 */
export class Search {
  readonly #board: Board
  readonly #unreturned: Unreturned
  readonly #classes: readonly number[]
  readonly #visited = new Visited()
  readonly #stepsMax: number
  readonly #order: number[] = []
  #state = ABSENT
  #usage: Usage
  #steps = 0

  /** `operations`: those that return first, then those that never do. Gives up after `stepsMax` moves. */
  constructor(operations: readonly Placeable[], stepsMax: number) {
    this.#board = new Board(operations)
    this.#unreturned = new Unreturned(this.#board)
    this.#classes = classesOf(operations)
    this.#stepsMax = stepsMax
    this.#usage = this.#unreturned.unused
  }

  run(): SearchResult {
    const frames = [this.#frame()]
    for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
      if (this.#board.isEmpty) return this.#result('placed')
      if (frame.following !== undefined) this.#retract(frame, frame.following)
      const move = this.#nextMove(frame)
      if (move === undefined) {
        frames.pop()
      } else {
        if (this.#steps === this.#stepsMax) return this.#result('undecided')
        this.#follow(frame, move)
        frames.push(this.#frame())
      }
    }
    return this.#result('stuck')
  }

  #result(outcome: SearchResult['outcome']): SearchResult {
    return { outcome, order: outcome === 'placed' ? this.#order : [], steps: this.#steps }
  }

  #frame(): Frame {
    const frame: Frame = {
      state: this.#state,
      usage: this.#usage,
      moves: [],
      tried: 0,
      assisted: true,
      following: undefined,
    }
    this.#board.look()
    const { under, operations } = this.#board
    const possible = under.filter(
      (number) => this.#board.isItsTurn(number) && holds(operations[number]!.step, this.#state),
    )
    const pure = possible.find((number) => isPure(operations[number]!.step))
    if (pure !== undefined) {
      frame.moves = [pure]
    } else if (this.#visited.add(this.#configuration(), this.#unreturned.essential(this.#usage))) {
      frame.moves = this.#firstOfEach(possible.filter((number) => !this.#strands(number, operations[number]!.step)))
      frame.assisted = false
    }
    return frame
  }

  #nextMove(frame: Frame): number | undefined {
    if (frame.tried === frame.moves.length && !frame.assisted) {
      frame.assisted = true
      this.#board.look()
      frame.moves = this.#strands(-1) ? [] : this.#unreturned.wanted(this.#state, this.#usage).map((kind) => ~kind)
      frame.tried = 0
    }
    return frame.moves[frame.tried++]
  }

  #follow(frame: Frame, move: number): void {
    this.#steps += 1
    frame.following = move
    if (move >= 0) {
      this.#board.place(move)
      this.#order.push(move)
      this.#state = this.#board.operations[move]!.step.writes ?? this.#state
    } else {
      this.#order.push(this.#unreturned.next(~move, this.#usage)!)
      this.#usage = this.#unreturned.used(this.#usage, ~move)
      this.#state = this.#unreturned.step(~move).writes ?? this.#state
    }
  }

  #retract(frame: Frame, move: number): void {
    frame.following = undefined
    this.#order.pop()
    this.#state = frame.state
    this.#usage = frame.usage
    if (move >= 0) this.#board.retract(move)
  }

  /** Whether leaving the value that the register has now, by `number`, leaves a step that can never be placed. */
  #strands(number: number, step?: Step): boolean {
    if (step !== undefined && (step.writes ?? this.#state) === this.#state) return false
    const waiting = this.#board.firstWaiting(this.#state, number)
    if (waiting < 0) return false
    const { callAt, returnAt } = this.#board.order
    const writing = this.#board.firstWriting(this.#state)
    if (writing >= 0 && callAt[writing]! < returnAt[waiting]!) return false
    return !this.#unreturned.canLeave(this.#state, this.#usage, returnAt[waiting]!)
  }

  /** Of equal steps the first to return; the first to return of all comes first. */
  #firstOfEach(possible: readonly number[]): number[] {
    const { returnAt } = this.#board.order
    const sorted = possible.toSorted((a, b) => returnAt[a]! - returnAt[b]!)
    return sorted.filter((number, at) => {
      const same = sorted.findIndex((other) => this.#classes[other] === this.#classes[number])
      return same === at
    })
  }

  /** First return, calls before it, value: as short a string as says them all. */
  #configuration(): string {
    const { order, under, firstToReturn } = this.#board
    const words = new Uint16Array(4 + Math.ceil(order.slots / 16))
    words[0] = firstToReturn
    words[1] = firstToReturn >>> 16
    words[2] = this.#state
    words[3] = this.#state >>> 16
    for (const number of under) {
      const slot = order.slot[number]!
      words[4 + (slot >>> 4)]! |= 1 << (slot & 15)
    }
    return String.fromCharCode(...words)
  }
}

/** A number for each operation; equal for equal steps, unless their revisions tell them apart. */
function classesOf(operations: readonly Placeable[]): number[] {
  const numbers = new Map<string, number>()
  return operations.map(({ step, revision }) => {
    const name = `${step.when} ${step.value} ${step.writes ?? '-'} ${revision ?? '-'}`
    const number = numbers.get(name) ?? numbers.size
    numbers.set(name, number)
    return number
  })
}
