import { Violation } from '../../src/testing/index.js'
import type { ContenderMessage } from './contender-messages.js'

/** One who held the lock, under one token. */
export interface Holding {
  readonly token: number
  readonly contender: string
  /** When it was first and last seen to be held, by the holder. */
  readonly fromNs: number
  untilNs: number
}

interface GuardedWrite {
  readonly token: number
  readonly callNs: number
}

/** What contenders did, and the laws that it must obey. */
export class LockLedger {
  readonly writes = { done: 0, lost: 0, unknown: 0 }
  /** Uses that came late to a resource that looks at tokens, and were refused by it. */
  refused = 0
  lost = 0
  readonly #holdings = new Map<number, Holding>()
  readonly #done: GuardedWrite[] = []
  readonly #seen = new Map<number, { readonly token: number; readonly contender: string }>()
  #current: Holding | undefined
  #newestUse = 0

  get holdings(): number {
    return this.#holdings.size
  }

  /** Who holds the lock, as far as was told. */
  get current(): Holding | undefined {
    return this.#current
  }

  /** Throws a Violation where one message is enough to show it. */
  take(contender: string, message: ContenderMessage): void {
    switch (message.kind) {
      case 'acquired':
        return this.#acquired(contender, message.token, message.atNs)
      case 'held': {
        const holding = this.#holdings.get(message.token)
        if (holding !== undefined) holding.untilNs = message.atNs
        return
      }
      case 'used':
        return this.#use(message.token)
      case 'ended':
        if (message.isLost) this.lost++
        if (this.#current?.token === message.token) this.#current = undefined
        return
      case 'wrote':
        this.writes[message.outcome]++
        if (message.outcome === 'done') this.#done.push({ token: message.token, callNs: message.callNs })
        return
      case 'seen':
        return this.#sawWrite(message.revision, message.token, message.contender)
      case 'started':
      case 'failed':
    }
  }

  /** What was told by a contender that died is over. */
  died(contender: string): void {
    if (this.#current?.contender === contender) this.#current = undefined
  }

  /** Throws the first Violation found in all that was told so far. */
  judge(): void {
    const holdings = [...this.#holdings.values()].sort((one, other) => one.fromNs - other.fromNs)
    holdings.forEach((holding, at) => {
      const before = holdings[at - 1]
      if (before !== undefined) judgeSuccession(before, holding)
    })
    this.#judgeGuardedWrites(holdings)
    this.#judgeResource()
  }

  #acquired(contender: string, token: number, fromNs: number): void {
    const other = this.#holdings.get(token)
    if (other !== undefined) {
      throw new Violation('each acquisition has a token of its own', `${other.contender} and ${contender}: ${token}`)
    }
    const holding = { token, contender, fromNs, untilNs: fromNs }
    this.#holdings.set(token, holding)
    this.#current = holding
  }

  /** What somebody does to a resource that refuses tokens lower than the highest it has seen. */
  #use(token: number): void {
    if (token < this.#newestUse) this.refused++
    this.#newestUse = Math.max(this.#newestUse, token)
  }

  #sawWrite(revision: number, token: number, contender: string): void {
    const seen = this.#seen.get(revision)
    if (seen === undefined) this.#seen.set(revision, { token, contender })
    else if (seen.token !== token || seen.contender !== contender) {
      const found = `revision ${revision}: ${JSON.stringify(seen)} and ${JSON.stringify({ token, contender })}`
      throw new Violation('all servers tell of the same writes', found)
    }
  }

  /** A write that was called once another was seen to hold the lock after its own holder is not done. */
  #judgeGuardedWrites(holdings: readonly Holding[]): void {
    // Tokens grow from holder to holder, as was found before.
    const next = new Map(holdings.map(({ token }, at) => [token, holdings[at + 1]]))
    for (const { token, callNs } of this.#done) {
      const later = next.get(token)
      if (later === undefined || later.fromNs >= callNs) continue
      const found = `token ${token} wrote at ${ms(callNs)}, though ${later.contender} held ${later.token} from ${ms(later.fromNs)}`
      throw new Violation('who was paused learns that it lost before a guarded write succeeds', found)
    }
  }

  #judgeResource(): void {
    let newest = { revision: 0, token: 0, contender: '' }
    for (const [revision, { token, contender }] of [...this.#seen].sort(([one], [other]) => one - other)) {
      if (token < newest.token || (token === newest.token && contender !== newest.contender)) {
        const found = `${contender} (${token}) at ${revision} after ${newest.contender} (${newest.token}) at ${newest.revision}`
        throw new Violation('a resource guarded by tokens never sees an older one after a newer one', found)
      }
      newest = { revision, token, contender }
    }
  }
}

function judgeSuccession(before: Holding, holding: Holding): void {
  const found = `${shown(before)}, then ${shown(holding)}`
  if (holding.fromNs <= before.untilNs) throw new Violation('one at a time holds the lock', found)
  if (holding.token <= before.token) throw new Violation('tokens grow from holder to holder', found)
}

function shown({ contender, token, fromNs, untilNs }: Holding): string {
  return `${contender} held ${token} from ${ms(fromNs)} to ${ms(untilNs)}`
}

function ms(ns: number): string {
  return `${(ns / 1e6).toFixed(3)} ms`
}
