import { LeaseHold } from '../../client/lease-hold.js'
import type { LogIndex } from '../../machines/types.js'
import { prefixRange, type KeyChars, type KeyRange } from '../../state-machines/kv/keys.js'
import { LoopingClient, type LoopingClientSpec } from './looping-client.js'
import { Violation } from './violation.js'

const KEYS: KeyRange = prefixRange('lease/' as KeyChars)

/** What an answered grant or keep-alive promises. */
interface Promised {
  readonly lease: number
  readonly ttlMs: number
  /** When the call was made, in virtual milliseconds. */
  readonly sentAtMs: number
  readonly revision: LogIndex
}

/**
 * Grants leases, puts keys under them and keys with a time to live, keeps them alive now and then, revokes some, and
 * lets most of them end.
 */
export class LeaseClient extends LoopingClient {
  /** Whether clocks keep to the bound by which holds are shortened. */
  readonly #clocksKeepBound: boolean
  readonly #promised: Promised[] = []
  #lease: number | undefined
  /** Kept alive by itself. */
  #hold: LeaseHold | undefined

  constructor(spec: LoopingClientSpec, clocksKeepBound: boolean) {
    super(spec)
    this.#clocksKeepBound = clocksKeepBound
  }

  protected override leave(): void {
    this.#hold?.release()
  }

  protected act(): void {
    const { dice } = this.spec
    if (dice.chance(0.25)) return this.#put({ ttlMs: dice.pick([20, 80, 300, 800]) })
    if (this.#lease === undefined) return this.#grant()
    const lease = this.#lease
    const what = dice.below(10)
    if (what < 4) return this.#put({ lease })
    if (what < 8) return this.#keepAlive(lease)
    if (what === 8) return this.#revoke(lease)
    if (dice.chance(0.5)) this.#letGo()
    this.#readKeys()
  }

  #grant(): void {
    const { cluster, dice, store } = this.spec
    const ttlMs = dice.pick([60, 150, 300, 700, 1500])
    const sentAtMs = cluster.world.now()
    const sentAt = store.clock.now()
    this.propose({ type: 'grantLease', ttlMs }, undefined, (result) => {
      if (result !== undefined && 'lease' in result) {
        this.#lease = result.lease
        this.#promised.push({ lease: result.lease, ttlMs, sentAtMs, revision: result.revision })
        const granted = { id: result.lease, ttlMs, sentAt }
        if (dice.chance(0.4)) this.#hold = this.#watched(new LeaseHold(store, granted, true))
        // Held to its very end, and then another one is granted.
        else if (dice.chance(0.5)) this.#lease = void this.#watched(new LeaseHold(store, granted, false))
      }
      this.think()
    })
  }

  /** By the holder's own clock the hold is over before the lease can be. */
  #watched(hold: LeaseHold): LeaseHold {
    this.spec.ledger.whenEnded(hold.id, ({ isExpiry, revision }) => {
      if (!isExpiry || !this.#clocksKeepBound || !hold.isHeld) return
      const details = `lease ${hold.id} ended at revision ${revision} while ${this.spec.name} held it for ${hold.heldForMs} ms more`
      this.judge(new Violation('a hold ends before its lease', details))
    })
    return hold
  }

  #letGo(): void {
    this.#hold?.release()
    this.#hold = undefined
    this.#lease = undefined
  }

  #keepAlive(lease: number): void {
    const sentAtMs = this.spec.cluster.world.now()
    this.propose({ type: 'keepLeaseAlive', lease }, undefined, (result, error) => {
      if (result !== undefined && 'ttlMs' in result) {
        this.#promised.push({ lease, ttlMs: result.ttlMs, sentAtMs, revision: result.revision })
      }
      this.#heard(lease, error?.code)
    })
  }

  #revoke(lease: number): void {
    this.#letGo()
    this.propose({ type: 'revokeLease', lease }, undefined, (_, error) => this.#heard(lease, error?.code))
  }

  #put(end: { readonly lease?: number; readonly ttlMs?: number }): void {
    const { dice } = this.spec
    const token = this.token()
    const key = `lease/${dice.below(6)}`
    const command = { type: 'put', key, value: token, wantPrevious: dice.chance(0.3), ...end } as const
    this.propose(command, token, (_, error) => this.#heard(end.lease, error?.code))
  }

  #readKeys(): void {
    const { dice } = this.spec
    const query = { ...KEYS, keysOnly: dice.chance(0.2), limit: dice.pick([undefined, 3]) }
    this.range(query, dice.pick(['linearizable', 'eventual'] as const), () => this.think())
  }

  #heard(lease: number | undefined, code: string | undefined): void {
    if (lease !== undefined && code === 'LEASE_NOT_FOUND') {
      if (this.#lease === lease) this.#letGo()
      if (this.spec.ledger.endingOf(lease) === undefined) {
        const details = `${this.spec.name} was told so of lease ${lease}, which has not ended`
        this.judge(new Violation('a lease is gone only once it has ended', details))
      }
    }
    this.think()
  }

  /**
   * By real time: a lease does not end by itself sooner after a call that gave it its time than that time, less what
   * clocks may run apart. Throws a Violation.
   */
  checkPromises(): void {
    if (!this.#clocksKeepBound) return
    const { clockDriftBoundPercent } = this.spec.store.limits
    for (const { lease, ttlMs, sentAtMs, revision } of this.#promised) {
      const ending = this.spec.ledger.endingOf(lease)
      if (ending?.isExpiry !== true || ending.revision < revision) continue
      const livedMs = ending.atMs - sentAtMs
      if (livedMs >= ttlMs * (1 - clockDriftBoundPercent / 100)) continue
      const details = `lease ${lease} of ${ttlMs} ms ended at revision ${ending.revision}, ${livedMs} ms after ${this.spec.name} gave it its time`
      throw new Violation('no lease ends before its time', details)
    }
  }
}
