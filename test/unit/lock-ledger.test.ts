import { beforeEach, describe, expect, it } from 'vitest'
import { LockLedger } from '../e2e/lock-ledger.js'

let ledger: LockLedger

beforeEach(() => {
  ledger = new LockLedger()
})

/** A contender holds the lock from one moment to another. */
function held(contender: string, token: number, fromNs: number, untilNs: number): void {
  ledger.take(contender, { kind: 'acquired', token, atNs: fromNs })
  ledger.take(contender, { kind: 'held', token, atNs: untilNs })
}

describe('the ledger of a lock', () => {
  it('finds nothing wrong with holders one after the other, told in whatever order', () => {
    held('2', 20, 300, 400)
    held('1', 10, 100, 200)
    ledger.take('1', { kind: 'wrote', token: 10, callNs: 250, outcome: 'done' })
    ledger.take('2', { kind: 'seen', revision: 5, token: 10, contender: '1' })
    ledger.take('1', { kind: 'seen', revision: 6, token: 20, contender: '2' })
    expect(() => ledger.judge()).not.toThrow()
  })

  it('finds two who hold it at once', () => {
    held('1', 10, 100, 300)
    held('2', 20, 200, 400)
    expect(() => ledger.judge()).toThrow('one at a time holds the lock')
  })

  it('finds a token that is older than the one before it, and one given twice', () => {
    held('1', 20, 100, 200)
    held('2', 10, 300, 400)
    expect(() => ledger.judge()).toThrow('tokens grow from holder to holder')
    expect(() => held('3', 10, 500, 600)).toThrow('each acquisition has a token of its own')
  })

  it('finds a guarded write that was called when another held the lock already', () => {
    held('1', 10, 100, 200)
    held('2', 20, 300, 400)
    ledger.take('1', { kind: 'wrote', token: 10, callNs: 350, outcome: 'done' })
    expect(() => ledger.judge()).toThrow('before a guarded write succeeds')
  })

  it('finds a resource written under an older token after a newer one', () => {
    ledger.take('1', { kind: 'seen', revision: 5, token: 20, contender: '2' })
    ledger.take('1', { kind: 'seen', revision: 6, token: 10, contender: '1' })
    expect(() => ledger.judge()).toThrow('never sees an older one after a newer one')
  })

  it('counts uses that a resource refuses by their token', () => {
    for (const token of [10, 20, 10]) ledger.take('1', { kind: 'used', token })
    expect(ledger.refused).toBe(1)
  })
})
