import { describe, expect, it } from 'vitest'
import { Waiters, type Waiter } from '../../src/actors/waiters.js'
import { ActorumError } from '../../src/errors.js'
import { Outcome } from './memory-servers.js'

function waiting(deadline = 100) {
  const waiters = new Waiters()
  const outcome = new Outcome<undefined>()
  const state = { isMet: false }
  const waiter: Waiter = { resolve: () => outcome.resolve(undefined), reject: outcome.reject, deadline }
  waiters.add(() => state.isMet, waiter)
  return { waiters, outcome, state }
}

describe('waiters', () => {
  it('are told once their condition holds, and only once', () => {
    const { waiters, outcome, state } = waiting()
    waiters.check()
    expect(outcome.now).toBe('pending')
    state.isMet = true
    waiters.check()
    waiters.check()
    waiters.expire(1000, undefined)
    expect(outcome).toMatchObject({ answers: 1, now: 'ok' })
    expect(waiters.size).toBe(0)
  })

  it('whose time runs out hear whether there is no leader, or one that is not ready', () => {
    for (const [leaderId, code] of [
      [undefined, 'NO_LEADER'],
      [3, 'TIMEOUT'],
    ] as const) {
      const { waiters, outcome, state } = waiting()
      waiters.expire(99, leaderId)
      expect(outcome.now).toBe('pending')
      waiters.expire(100, leaderId)
      state.isMet = true
      waiters.check()
      expect(outcome).toMatchObject({ answers: 1, now: code })
      expect(waiters.size).toBe(0)
    }
  })

  it('end with the server', () => {
    const { waiters, outcome } = waiting()
    waiters.rejectAll(new ActorumError('STOPPED', 'this server was stopped'))
    expect(outcome).toMatchObject({ answers: 1, now: 'STOPPED' })
    expect(waiters.size).toBe(0)
  })

  it('that are taken back are looked at no more, and told nothing', () => {
    const { waiters, outcome } = waiting()
    const other = new Outcome<undefined>()
    let looks = 0
    const waiter: Waiter = { resolve: () => other.resolve(undefined), reject: other.reject, deadline: 50 }
    waiters.add(() => ++looks > 0, waiter)
    waiters.remove(waiter)
    waiters.check()
    waiters.expire(50, undefined)
    expect([other.now, outcome.now, looks, waiters.size]).toEqual(['pending', 'pending', 0, 1])
  })

  it('may wait anew from within their answer', () => {
    const { waiters, outcome, state } = waiting()
    const again: Waiter = { resolve: () => outcome.resolve(undefined), reject: outcome.reject, deadline: 200 }
    waiters.add(() => state.isMet, { ...again, resolve: () => waiters.add(() => state.isMet, again) })
    state.isMet = true
    waiters.check()
    expect(waiters.size).toBe(1)
    waiters.check()
    expect(outcome.answers).toBe(2)
  })
})
