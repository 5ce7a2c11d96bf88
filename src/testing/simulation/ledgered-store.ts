import { HISTORY_LIMITS, type HistoryLimits } from '../../state-machines/kv/history.js'
import { FIRST_KEY } from '../../state-machines/kv/keys.js'
import { KeyValueStore } from '../../state-machines/kv/key-value-store.js'
import type { KvResult } from '../../state-machines/kv/results.js'
import type { CommittedBatch } from '../../state-machines/ports.js'
import { ChangeJudge } from './change-judge.js'
import type { KvLedger } from './kv-ledger.js'
import { Violation } from './violation.js'

export interface LedgeredStoreOptions {
  readonly limits?: Partial<HistoryLimits>
  /** Hears of the first change that the store told otherwise than the ledger has it. Default: nobody watches. */
  readonly report?: ((violation: Violation) => void) | undefined
}

/**
 * A key-value store that a ledger looks over the shoulder of. With `report`, all its changes are watched: servers then
 * cannot differ, however shortly, in what they change at a revision, expiries included.
 */
export class LedgeredStore extends KeyValueStore {
  readonly #ledger: KvLedger

  constructor(ledger: KvLedger, { limits = HISTORY_LIMITS, report }: LedgeredStoreOptions = {}) {
    super(limits)
    this.#ledger = ledger
    if (report !== undefined) this.#witness(report)
  }

  #witness(report: (violation: Violation) => void): void {
    const all = { from: FIRST_KEY, to: undefined }
    const judge = new ChangeJudge(this.#ledger, { who: 'a watcher of a whole store', range: all, previous: true }, 1)
    this.watch(all, {
      changed: (revision, changes) => {
        try {
          judge.changes(revision, changes)
        } catch (error) {
          if (!(error instanceof Violation)) throw error
          report(error)
        }
      },
      replaced: () => judge.goOnFrom(this.revision + 1),
    })
  }

  override apply(batch: CommittedBatch): readonly KvResult[] {
    this.#ledger.note(batch)
    return super.apply(batch)
  }
}
