import type { Placeable } from './board.js'
import { isPure } from './register.js'
import type { SearchResult } from './search.js'
import { Search } from './search.js'

export interface LongestPrefix {
  /** An order for all that had returned before the violation, and for what it used of that which was under way. */
  readonly order: readonly number[]
  /** The operation whose return no order explains. */
  readonly culprit: number
  /** False when the steps ran out first: then the return that no order explains may be a later one. */
  readonly exact: boolean
}

/**
 * Cuts a history that has no order at the first return that makes it so. A history cut at any moment is linearizable
 * if the whole is: so the moment is found by halving. At a cut, what was under way counts as never returned, for it
 * may have taken effect or not. Gives up after `stepsMax` moves in all, with the longest prefix found by then.
 */
export function longestPrefix(operations: readonly Placeable[], stepsMax: number): LongestPrefix {
  const byReturn = [...operations.keys()].filter((number) => operations[number]!.span.return !== Infinity)
  byReturn.sort((a, b) => operations[a]!.span.return - operations[b]!.span.return)
  let order: readonly number[] = []
  let [returned, tooMany, exact, stepsLeft] = [0, byReturn.length, true, stepsMax]
  while (tooMany - returned > 1) {
    const middle = (returned + tooMany) >>> 1
    const cut = searchCut(operations, byReturn, middle, stepsLeft)
    stepsLeft -= cut.steps
    if (cut.outcome === 'placed') {
      returned = middle
      order = cut.order
    } else {
      tooMany = middle
      exact = cut.outcome === 'stuck'
    }
  }
  const culprit = byReturn[returned]!
  return { order: order.filter((number) => number !== culprit), culprit, exact }
}

function searchCut(
  operations: readonly Placeable[],
  byReturn: readonly number[],
  returned: number,
  stepsMax: number,
): SearchResult {
  const kept = byReturn.slice(0, returned)
  const end = operations[byReturn[returned - 1]!]!.span.return
  const isKept = new Set(kept)
  const underWay = [...operations.keys()].filter((number) => {
    const { span, step } = operations[number]!
    return !isKept.has(number) && span.call <= end && !isPure(step)
  })
  const cut = underWay.map((number) => {
    const { span, step } = operations[number]!
    return { span: { call: span.call, return: Infinity }, step, revision: undefined }
  })
  const result = new Search([...kept.map((number) => operations[number]!), ...cut], stepsMax).run()
  const numbers = [...kept, ...underWay]
  return { ...result, order: result.order.map((number) => numbers[number]!) }
}
