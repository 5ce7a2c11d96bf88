import { checkLinearizable, type Violation as Disorder } from '../linearizability/checker.js'
import { checkEventual } from '../linearizability/eventual.js'
import type { Operation } from '../linearizability/history.js'
import type { KvLedger } from './kv-ledger.js'
import { Violation } from './violation.js'

/** A history that no order explains, with what its timeline is drawn from. */
export class NotLinearizable extends Violation {
  readonly disorder: Disorder

  constructor(disorder: Disorder) {
    super('clients see one copy, one operation at a time', disorder.reason)
    this.disorder = disorder
  }
}

export interface JudgementOptions {
  /** `eventual`: clocks ran apart beyond the lease's bound, so that lease reads promise no more than a prefix. */
  readonly leaseReads: 'linearizable' | 'eventual'
  /** Moves that the search for an order may make. Default: the checker's. */
  readonly stepsMax?: number
}

/**
 * Judges what clients did and saw. Throws the first Violation; says whether the search for an order ended in time (a
 * history that it could not decide is neither proved nor refuted).
 */
export function judgeHistory(
  history: readonly Operation[],
  ledger: KvLedger,
  options: JudgementOptions,
): 'decided' | 'undecided' {
  ledger.checkAcknowledged()
  ledger.checkRefused()
  const eventual = checkEventual(history, ledger.applied, options)
  if (!eventual.valid) {
    const { client, server } = eventual.read
    throw new Violation(
      'an eventual read sees a prefix, and never an older one',
      `client ${client} at server ${server}: ${eventual.reason}`,
    )
  }
  const verdict = checkLinearizable(history, options)
  if (verdict.valid === false) throw new NotLinearizable(verdict)
  return verdict.valid === undefined ? 'undecided' : 'decided'
}
