import { describe, expect, it } from 'vitest'
import { NO_CHANGE } from '../../src/actors/join-answers.js'
import { PendingChanges } from '../../src/actors/pending-changes.js'
import { ActorumError } from '../../src/errors.js'
import type { MembershipAnswer } from '../../src/machines/effects.js'
import { Outcome } from './memory-servers.js'

const NONCE = 7
const NOBODY = { leaderId: undefined, term: 1, isSelf: false }
const leader = (term: number) => ({ leaderId: 2, term, isSelf: false })
const answer = (id: number, others: Partial<MembershipAnswer> = {}): MembershipAnswer => {
  return { type: 'membershipAnswered', nonce: NONCE, id, index: undefined, reason: 'refused', refusal: '', ...others }
}

function asked(deadline = 1000) {
  const changes = new PendingChanges(NONCE)
  const outcome = new Outcome<number>()
  changes.add(NO_CHANGE, { resolve: outcome.resolve, reject: outcome.reject, deadline })
  return { changes, outcome }
}

describe('pending changes of the membership', () => {
  it('wait for a leader, and are handed over once', () => {
    const { changes } = asked()
    expect(changes.drain(NOBODY)).toEqual([])
    expect(changes.drain(leader(1))).toEqual([{ type: 'changeRequested', nonce: NONCE, id: 1, change: NO_CHANGE }])
    expect(changes.drain(leader(1))).toEqual([])
  })

  it('end with the index of the committed configuration', () => {
    const { changes, outcome } = asked()
    changes.drain(leader(1))
    changes.answered(answer(1, { index: 12, reason: undefined }))
    expect([outcome.now, outcome.value, changes.size]).toEqual(['ok', 12, 0])
  })

  it('are REFUSED with the reason', () => {
    const { changes, outcome } = asked()
    changes.drain(leader(1))
    changes.answered(answer(1, { refusal: 'server 9 is no member' }))
    expect(outcome.error?.message).toContain('server 9 is no member')
    expect(outcome.now).toBe('REFUSED')
  })

  it('are asked again when the leader was not known after all', () => {
    const { changes, outcome } = asked()
    changes.drain(leader(1))
    changes.answered(answer(1, { reason: 'noLeader' }))
    expect(outcome.now).toBe('pending')
    expect(changes.drain(leader(1))).toHaveLength(1)
  })

  it('have an unknown outcome once the leader they were handed to is gone', () => {
    const { changes, outcome } = asked()
    changes.drain(leader(1))
    changes.leaderChanged(leader(1))
    expect(outcome.now).toBe('pending')
    changes.leaderChanged(leader(2))
    expect(outcome.now).toBe('OUTCOME_UNKNOWN')
  })

  it('run out of time with NO_LEADER before they were handed over, and OUTCOME_UNKNOWN after', () => {
    const waiting = asked()
    waiting.changes.expire(999)
    expect(waiting.outcome.now).toBe('pending')
    waiting.changes.expire(1000)
    const handed = asked()
    handed.changes.drain(leader(1))
    handed.changes.expire(1000)
    expect([waiting.outcome.now, handed.outcome.now]).toEqual(['NO_LEADER', 'OUTCOME_UNKNOWN'])
  })

  it('of a server that stops: STOPPED if certainly not made', () => {
    const waiting = asked()
    const handed = asked()
    handed.changes.drain(leader(1))
    const stopped = new ActorumError('STOPPED', 'stopped')
    waiting.changes.rejectEverything(stopped)
    handed.changes.rejectEverything(stopped)
    expect([waiting.outcome.now, handed.outcome.now]).toEqual(['STOPPED', 'OUTCOME_UNKNOWN'])
  })

  it('hear nothing of an earlier start of the same server', () => {
    const { changes, outcome } = asked()
    changes.drain(leader(1))
    changes.answered(answer(1, { nonce: NONCE + 1, index: 3, reason: undefined }))
    expect(outcome.now).toBe('pending')
  })
})
