import type { Callback } from './ports.js'
import { refuse } from './record-disk.js'

/** Something that calls back exactly once, perhaps before it returns. */
type Step = (done: Callback) => void

/** What takes several calls, written as if each returned its result: `const bytes = yield* call(…)`. */
export type Steps<Result> = Generator<Step, Result, void>

/** One call among steps. Its error is thrown there. */
export function* call<Result>(begin: (done: Callback<Result>) => void): Steps<Result> {
  let result: Result | undefined
  yield (done) =>
    begin((error, value) => {
      result = value
      done(error)
    })
  return result as Result
}

/**
 * Takes the steps one after another. Calls that call back at once cost no stack, and no promise is made, so that a
 * simulation replays exactly.
 */
export function perform<Result>(steps: Steps<Result>, callback: Callback<Result>): void {
  let isStepping = false
  let outcome: { readonly error: Error | undefined } | undefined
  const resume = (error: Error | undefined): void => {
    outcome = { error }
    if (isStepping) return
    isStepping = true
    while (outcome !== undefined) {
      const { error } = outcome
      outcome = undefined
      let next: IteratorResult<Step, Result>
      try {
        next = error === undefined ? steps.next() : steps.throw(error)
      } catch (thrown) {
        return refuse(callback, thrown instanceof Error ? thrown : new Error(String(thrown)))
      }
      if (next.done === true) return callback(undefined, next.value)
      next.value(resume)
    }
    isStepping = false
  }
  resume(undefined)
}
