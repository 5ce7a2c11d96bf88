import type { Mutant } from './mutant.js'

const REASON = 'a server stops only for a reason'
const INVARIANT = 'no server breaks an invariant'
const LOST = 'no acknowledged write is lost'

/** Bugs in the loop, in what performs effects, and in what clients are told. */
export const LOOP_MUTANTS: readonly Mutant[] = [
  {
    name: 'drops a term and vote when a later step joins the same write',
    file: 'actors/effect-runner.ts',
    find: 'hardState = step.hardState ?? hardState',
    replace: 'hardState = step.hardState',
    hunt: 'crashes',
    runsMax: 10,
    laws: ['no vote', 'no term', REASON],
  },
  {
    name: 'writes runs that a later step of the same write truncates',
    file: 'actors/effect-runner.ts',
    find: 'runs = runs.filter((run) => run.lastIndex < from)',
    replace: 'runs = runs.filter((run) => run.lastIndex > 0)',
    hunt: 'entries are replaced while they are being written',
    runsMax: 1,
    laws: [REASON],
  },
  {
    name: 'joins appends that do not follow each other',
    file: 'actors/coalesce.ts',
    find: 'if (end === undefined || second.prevLogIndex !== end.lastIndex || second.prevLogTerm !== end.term) return undefined',
    replace: 'if (end === undefined) return undefined',
    hunt: 'busy processes',
    runsMax: 60,
    // A call may hear of it before the judge of servers does.
    laws: [INVARIANT, 'a call fails only for a reason'],
  },
  {
    name: 'applies a run although those before it are missing',
    file: 'actors/apply-actor.ts',
    find: 'if (run === undefined || run.firstIndex > this.lastApplied + 1) break',
    replace: 'if (run === undefined) break',
    hunt: 'snapshots',
    runsMax: 20,
    laws: [INVARIANT],
  },
  {
    name: 'applies from disk what a truncation under way replaces',
    file: 'actors/apply-actor.ts',
    find: 'const end = Math.min(this.#commitIndex, durableIndex, (this.#queue[0]?.firstIndex ?? Infinity) - 1)',
    replace: 'const end = this.#commitIndex',
    hunt: 'entries are replaced while those before are read from disk',
    runsMax: 1,
    laws: ['State Machine Safety'],
  },
  {
    name: 'leaves out an entry when it catches up from disk',
    file: 'actors/apply-actor.ts',
    find: 'this.#queue = [...committed, ...this.#queue]',
    replace: [
      'const skipped = committed.shift()',
      'if (skipped !== undefined) this.#end = { ...this.#end, index: skipped.lastIndex }',
      'this.#queue = [...committed, ...this.#queue]',
    ].join('\n      '),
    hunt: 'everything',
    runsMax: 20,
    laws: ['entries are applied in order'],
  },
  {
    name: "answers its clients with an earlier incarnation's results",
    file: 'actors/pending-proposals.ts',
    find: 'return origin.nonce === this.#nonce && this.#proposed.has(origin.batch)',
    replace: 'return this.#proposed.has(origin.batch)',
    hunt: 'everything',
    runsMax: 10,
    laws: [LOST, INVARIANT, 'a command does what'],
  },
  {
    name: 'gives the results of a batch to the wrong requests',
    file: 'actors/pending-proposals.ts',
    find: 'request.resolve(results[at] as Result)',
    replace: 'request.resolve(results[requests.length - 1 - at] as Result)',
    hunt: 'busy processes',
    runsMax: 20,
    laws: [LOST, 'a command does what'],
  },
  {
    name: 'says that a proposal whose time ran out was not proposed',
    file: 'actors/pending-proposals.ts',
    find: "batch.proposed === undefined ? notProposed(leader) : unknownOutcome('it was proposed, and its time ran out')",
    replace: 'notProposed(leader)',
    hunt: 'forwarding',
    runsMax: 20,
    laws: ['what is reported as not applied never is'],
  },
  {
    name: 'says that what a deposed leader took was not proposed, and proposes it again',
    file: 'actors/pending-proposals.ts',
    find: 'for (const [id, batch] of this.#proposed) {\n      if (batch.proposed?.leaderId === leaderId && batch.proposed?.term === term) continue\n      this.#proposed.delete(id)\n',
    replace:
      'for (const [id, batch] of this.#proposed) {\n      if (batch.proposed?.leaderId === leaderId && batch.proposed?.term === term) continue\n      this.#proposed.delete(id)\n      batch.proposed = undefined\n      this.#waiting.push(batch.withoutSettled())\n      continue\n',
    hunt: 'elections',
    runsMax: 20,
    laws: ['a command is committed once', 'what is reported as not applied never is'],
  },
  {
    name: 'swaps a value that differs in its last byte',
    file: 'state-machines/kv/key-value-store.ts',
    find: 'for (let i = 0; i < value.length; i++) {',
    replace: 'for (let i = 0; i < value.length - 1; i++) {',
    hunt: 'everything',
    runsMax: 20,
    laws: ['a command does what', 'a store holds', 'clients see'],
  },
  {
    name: 'gives every command of a batch the revision of the first',
    file: 'state-machines/kv/key-value-store.ts',
    find: 'const revision = firstIndex + i\n',
    replace: 'const revision = firstIndex\n',
    hunt: 'busy processes',
    runsMax: 20,
    laws: [LOST, 'a command does what'],
  },
]
