import { describe, expect, it } from 'vitest'
import type { InSessionCommand } from '../../src/state-machines/kv/commands.js'
import { SESSION_RESULTS_MAX } from '../../src/state-machines/kv/limits.js'
import { refusalError } from '../../src/state-machines/kv/results.js'
import { AppliedLog, compareAndSwap, encoded, keyOf, put, utf8 } from './kv-batch.js'

function inSession(
  sequence: number,
  command: InSessionCommand['command'],
  lowestOutstanding = 0,
  session = 1,
): InSessionCommand {
  return { type: 'inSession', session, sequence, lowestOutstanding, command }
}

function withSession(timeoutMs = 100): AppliedLog {
  const log = new AppliedLog()
  expect(log.apply({ type: 'openSession', timeoutMs })).toEqual({ session: 1, revision: 1 })
  return log
}

describe('a session', () => {
  it('applies a repeated command once and gives the same result again', () => {
    const log = withSession()
    const first = log.apply(inSession(1, compareAndSwap('a', undefined, '1')))
    expect(first).toEqual({ swapped: true, revision: 2 })
    expect(log.apply(inSession(1, compareAndSwap('a', undefined, '1')))).toEqual(first)
    expect(log.store.get(keyOf('a'))?.version).toBe(1)
  })

  it('remembers results out of order, for every sequence that is outstanding', () => {
    const log = withSession()
    const later = log.apply(inSession(7, put('b', '2'), 5))
    const earlier = log.apply(inSession(5, put('a', '1'), 5))
    expect(log.apply(inSession(7, put('b', '2'), 5))).toEqual(later)
    expect(log.apply(inSession(5, put('a', '1'), 5))).toEqual(earlier)
  })

  it('does not apply a late copy of what its client has the answer of', () => {
    const log = withSession()
    log.apply(inSession(1, put('a', '1')))
    log.apply(inSession(2, put('a', '2'), 2))
    expect(log.apply(inSession(1, put('a', '1')))).toMatchObject({ refused: 'ANSWERED' })
    expect(log.text('a')).toBe('2')
  })

  it('is expired when silent for its timeout of cluster time, and its client is told', () => {
    const log = withSession(100)
    log.clusterTime = 90
    log.apply(inSession(1, put('a', '1')))
    log.clusterTime = 189
    log.apply({ type: 'expire' })
    expect(log.apply(inSession(2, put('a', '2')))).toMatchObject({ revision: 4 })
    log.clusterTime = 289
    expect(log.apply({ type: 'expire' })).toMatchObject({ expiredCount: 1 })
    const refused = log.apply(inSession(2, put('a', '3')))
    expect(refused).toEqual({ refused: 'SESSION_EXPIRED', revision: 6 })
    expect(log.text('a')).toBe('2')
    expect(refusalError({ refused: 'SESSION_EXPIRED', revision: 6 })).toMatchObject({ code: 'SESSION_EXPIRED' })
  })

  it('lives as long as it is kept alive, and ends when it is closed', () => {
    const log = withSession(100)
    log.clusterTime = 80
    log.apply({ type: 'keepSessionAlive', session: 1 })
    expect(log.store.nextExpiry()).toBe(180)
    log.apply({ type: 'closeSession', session: 1 })
    expect(log.apply({ type: 'keepSessionAlive', session: 1 })).toMatchObject({ refused: 'SESSION_EXPIRED' })
    expect(log.store.nextExpiry()).toBeUndefined()
  })

  it('refuses one more command, without applying it, when it keeps all the results it may', () => {
    const log = withSession()
    for (let i = 0; i < SESSION_RESULTS_MAX; i++) log.apply(inSession(i, put('a', `${i}`)))
    expect(log.apply(inSession(SESSION_RESULTS_MAX, put('a', 'no')))).toMatchObject({ refused: 'BUSY' })
    expect(log.apply(inSession(SESSION_RESULTS_MAX, put('a', 'yes'), 1))).not.toHaveProperty('refused')
    expect(log.text('a')).toBe('yes')
  })

  it('bounds the bytes of its results too', () => {
    const log = withSession()
    log.apply(put('a', new Uint8Array(1024 * 1024)))
    for (let i = 0; i < 4; i++) log.apply(inSession(i, { type: 'get', key: 'a' }))
    expect(log.apply(inSession(4, put('b', '')))).toMatchObject({ refused: 'BUSY' })
    expect(log.apply(inSession(1_000_000, put('b', ''), 1_000_000))).not.toHaveProperty('refused')
  })

  it('comes through a snapshot with its results', () => {
    const log = withSession()
    const command = inSession(1, {
      type: 'txn',
      compares: [],
      then: [
        put('a', '1'),
        { type: 'put', key: 'a', value: '2', wantPrevious: true },
        { type: 'range', from: '', to: 'z' },
      ],
      else: [],
    })
    const first = log.apply(command)
    log.restart()
    expect(log.apply(command)).toEqual(first)
    expect(log.store.get(keyOf('a'))?.version).toBe(2)
  })

  it('keeps a result that no caller can change', () => {
    const log = withSession()
    log.apply(put('a', 'mine'))
    const get = inSession(1, { type: 'get', key: 'a' })
    for (let i = 0; i < 2; i++) {
      const result = log.apply(get)
      if (!('entry' in result) || result.entry === undefined) throw new Error('no entry')
      expect(result.entry.value).toEqual(utf8('mine'))
      result.entry.value.fill(0)
    }
  })

  it('cannot be within another, nor number a command below what is outstanding', () => {
    expect(() => encoded(inSession(1, put('a', ''), 2))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})
