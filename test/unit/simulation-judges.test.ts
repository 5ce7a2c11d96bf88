import { describe, expect, it } from 'vitest'
import type { KvCommand } from '../../src/state-machines/kv/commands.js'
import { FIRST_KEY } from '../../src/state-machines/kv/keys.js'
import type { KvChange } from '../../src/state-machines/kv/watchers.js'
import { ChangeJudge } from '../../src/testing/simulation/change-judge.js'
import { DeliveryChecker } from '../../src/testing/simulation/delivery-checker.js'
import { KvLedger } from '../../src/testing/simulation/kv-ledger.js'
import { LedgeredStore } from '../../src/testing/simulation/ledgered-store.js'
import { RevisionOrder } from '../../src/testing/simulation/revision-order.js'
import { AppliedLog } from './kv-batch.js'

const bytes = (text: string) => new TextEncoder().encode(text)

/** A ledger of commands, from index 1 on, each a millisecond of cluster time after the one before. */
function ledgerOf(...commands: KvCommand[]): { readonly ledger: KvLedger; readonly log: AppliedLog } {
  const ledger = new KvLedger({ historyEntriesMax: 3 })
  const log = new AppliedLog(new LedgeredStore(ledger))
  for (const command of commands) {
    log.clusterTime++
    log.apply(command)
  }
  return { ledger, log }
}

const put = (key: string, value: string): KvCommand => ({ type: 'put', key, value })

describe('the ledger of a simulation', () => {
  it('says so when a command that was acknowledged is not in the log', () => {
    const { ledger } = ledgerOf(put('a', 'x.1'))
    ledger.acknowledged(put('a', 'x.2'), { revision: 1 })
    expect(() => ledger.checkAcknowledged()).toThrow('no acknowledged write is lost')
  })

  it('says so when a client was told another result', () => {
    const { ledger } = ledgerOf(put('a', 'x.1'), { type: 'delete', key: 'a' })
    ledger.acknowledged({ type: 'delete', key: 'a' }, { deleted: false, revision: 2 })
    expect(() => ledger.checkAcknowledged()).toThrow('a command does what its client was told')
  })

  it('takes a repeated command of a session for one, and two numbers for two', () => {
    const inSession = (sequence: number): KvCommand => {
      const command = { type: 'put', key: 'a', value: 'x.1' } as const
      return { type: 'inSession', session: 1, sequence, lowestOutstanding: 1, command }
    }
    const open: KvCommand = { type: 'openSession', timeoutMs: 1000 }
    const { ledger } = ledgerOf(open, inSession(1), inSession(1))
    ledger.checkAcknowledged()
    const { ledger: other } = ledgerOf(open, inSession(1), inSession(2))
    expect(() => other.checkAcknowledged()).toThrow('a command of a session is applied once')
  })

  it('says so when a write that was reported as not applied is in the log', () => {
    const { ledger } = ledgerOf(put('a', 'x.1'))
    ledger.refused('x.1')
    expect(() => ledger.checkRefused()).toThrow('what is reported as not applied never is')
  })

  it('knows when a lease has ended, and by what', () => {
    const { ledger, log } = ledgerOf({ type: 'grantLease', ttlMs: 10 }, { type: 'grantLease', ttlMs: 10 })
    expect(ledger.endingOf(1)).toBeUndefined()
    log.apply({ type: 'revokeLease', lease: 1 })
    log.clusterTime += 10
    log.apply({ type: 'expire' })
    expect(ledger.endingOf(1)).toMatchObject({ revision: 3, isExpiry: false })
    expect(ledger.endingOf(2)).toMatchObject({ revision: 4, isExpiry: true })
    ledger.checkStore('the store', log.store)
  })

  it('lets the past be gone only when there is more of it than is kept, or somebody asked', () => {
    const { ledger, log } = ledgerOf(put('a', '1'), put('a', '2'), put('a', '3'), put('a', '4'))
    ledger.checkForgotten('somebody', 1)
    expect(() => ledger.checkForgotten('somebody', 2)).toThrow('the past is forgotten only when it must be')
    log.apply({ type: 'compact', revision: 3 })
    ledger.checkForgotten('somebody', 3)
  })
})

describe('the judge of watches', () => {
  const entry = (value: string, revision: number) => {
    return {
      key: bytes('a'),
      value: bytes(value),
      createRevision: 1,
      modRevision: revision,
      version: revision,
      lease: 0,
    }
  }
  const change = (value: string, revision: number): KvChange => {
    return { type: 'put', entry: entry(value, revision), previous: undefined }
  }
  const judge = () => {
    const { ledger } = ledgerOf(put('a', '1'), put('a', '2'), put('a', '3'))
    return new ChangeJudge(ledger, { who: 'somebody', range: { from: FIRST_KEY }, previous: false }, 1)
  }

  it('is content with every revision in order', () => {
    const whole = judge()
    for (const at of [1, 2, 3]) whole.changes(at, [change(String(at), at)])
    whole.nothingUpTo(3)
    expect(whole.isThrough(3)).toBe(true)
  })

  it.each([
    ['a gap', 2, [change('2', 2)]],
    ['another value', 1, [change('2', 1)]],
    ['part of a revision', 1, []],
    ['a change that was not', 4, [change('4', 4)]],
  ])('refuses %s', (_, revision, changes) => {
    expect(() => judge().changes(revision, changes)).toThrow('who watches is told of every change')
  })

  it('refuses a repeat, and progress ahead of changes', () => {
    const once = judge()
    once.changes(1, [change('1', 1)])
    expect(() => once.changes(1, [change('1', 1)])).toThrow('who watches is told of every change')
    expect(() => once.nothingUpTo(2)).toThrow('who watches is told of every change')
  })
})

describe('real time against the order of the log', () => {
  it('refuses a write at a revision that had been seen before it began', () => {
    const order = new RevisionOrder()
    order.wrote('one', order.begin(), 5)
    expect(() => order.wrote('other', order.begin(), 4)).toThrow('a write comes after all that was answered before it')
  })

  it('refuses a linearizable read of a state before an answer that it must see, and no other read', () => {
    const order = new RevisionOrder()
    const floor = order.begin()
    order.wrote('one', floor, 5)
    order.read('other', floor, 4, true)
    order.read('other', order.begin(), 4, false)
    expect(() => order.read('other', order.begin(), 4, true)).toThrow('a linearizable read sees all')
  })
})

describe('the judge of the wire', () => {
  const said = { type: 'heartbeatReply', term: 2, round: 7, lastLogIndex: 9 } as const
  const judge = new DeliveryChecker()
  judge.sent(1, 2, said)

  it('knows what was said whatever the order of its fields', () => {
    judge.heard(1, 2, { lastLogIndex: 9, round: 7, term: 2, type: 'heartbeatReply' })
  })

  it('refuses what differs in a field, lacks one, or was said to another', () => {
    const law = 'what a server hears was said to it'
    expect(() => judge.heard(1, 2, { ...said, round: 9, lastLogIndex: 7 })).toThrow(law)
    expect(() => judge.heard(1, 2, { type: 'timeoutNow', term: 2 })).toThrow(law)
    expect(() => judge.heard(2, 1, said)).toThrow(law)
  })

  it('takes a field that is undefined for one that is not there', () => {
    judge.sent(1, 2, { type: 'readIndexReply', term: 2, nonce: 1, id: 3, index: undefined })
    expect(() => judge.heard(1, 2, { type: 'readIndexReply', term: 2, nonce: 1, id: 3, index: 3 })).toThrow()
    judge.heard(1, 2, JSON.parse('{"type":"readIndexReply","term":2,"nonce":1,"id":3}') as typeof said)
  })
})
