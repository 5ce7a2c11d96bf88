import { describe, expect, it } from 'vitest'
import { AppliedLog, del, keyOf, put } from './kv-batch.js'

function expireAt(log: AppliedLog, clusterTime: number) {
  log.clusterTime = clusterTime
  return log.apply({ type: 'expire' })
}

describe('leases', () => {
  it('take their keys with them once their time is over by the cluster time, and not before', () => {
    const log = new AppliedLog()
    expect(log.apply({ type: 'grantLease', ttlMs: 100 })).toEqual({ lease: 1, ttlMs: 100, revision: 1 })
    log.apply(put('a', '1', { lease: 1 }))
    expect(log.store.lease(1)).toEqual({ ttlMs: 100, deadline: 100, keys: ['a'] })
    expect(expireAt(log, 99)).toMatchObject({ expiredCount: 0 })
    expect(log.text('a')).toBe('1')
    expect(expireAt(log, 100)).toMatchObject({ expiredCount: 1 })
    expect(log.text('a')).toBeUndefined()
    expect(log.store.lease(1)).toBeUndefined()
  })

  it('live on when they are kept alive before their end is in the log, however late that end was proposed', () => {
    const log = new AppliedLog()
    log.apply({ type: 'grantLease', ttlMs: 100 })
    log.apply(put('a', '1', { lease: 1 }))
    log.clusterTime = 150
    expect(log.store.expiredAt(150)).toEqual([{ type: 'expire' }])
    log.apply({ type: 'keepLeaseAlive', lease: 1 })
    expect(log.apply({ type: 'expire' })).toMatchObject({ expiredCount: 0 })
    expect(log.store.nextExpiry()).toBe(250)
    expect(log.store.expiredAt(249)).toEqual([])
  })

  it('are not found once they are over, so that nothing is written under them', () => {
    const log = new AppliedLog()
    log.apply({ type: 'grantLease', ttlMs: 100 })
    expect(log.apply({ type: 'revokeLease', lease: 1 })).toEqual({ deletedCount: 0, revision: 2 })
    const refused = { refused: 'LEASE_NOT_FOUND' }
    expect(log.apply(put('a', '1', { lease: 1 }))).toMatchObject(refused)
    expect(log.apply({ type: 'keepLeaseAlive', lease: 1 })).toMatchObject(refused)
    expect(log.apply({ type: 'revokeLease', lease: 1 })).toMatchObject(refused)
    expect(log.store.size).toBe(0)
  })

  it('let go of a key that is written without them', () => {
    const log = new AppliedLog()
    log.apply({ type: 'grantLease', ttlMs: 100 })
    log.apply(put('a', '1', { lease: 1 }))
    log.apply(put('b', '2', { ttlMs: 50 }))
    expect(log.store.get(keyOf('a'))?.lease).toBe(1)
    expect(log.store.deadlineOf(keyOf('b'))).toBe(50)
    log.apply(put('a', '3'))
    log.apply(put('b', '4'))
    expect(expireAt(log, 1000)).toMatchObject({ expiredCount: 1 })
    expect([log.text('a'), log.text('b')]).toEqual(['3', '4'])
  })

  it('come through a snapshot with what remains of them, neither shortened nor refreshed', () => {
    const log = new AppliedLog()
    log.apply({ type: 'grantLease', ttlMs: 100 })
    log.apply(put('a', '1', { lease: 1 }))
    log.apply(put('b', '2', { ttlMs: 70 }))
    log.clusterTime = 60
    log.apply({ type: 'keepLeaseAlive', lease: 1 })
    log.restart()
    expect(log.store.nextExpiry()).toBe(70)
    expireAt(log, 70)
    expect([log.text('a'), log.text('b')]).toEqual(['1', undefined])
    expect(log.store.nextExpiry()).toBe(160)
    expireAt(log, 160)
    expect(log.store.size).toBe(0)
  })

  it('end at most a thousand at a time, the earliest first', () => {
    const log = new AppliedLog()
    for (let i = 0; i < 1500; i++) log.apply(put(`${i}`, '', { ttlMs: 1 + i }))
    expect(expireAt(log, 5000)).toMatchObject({ expiredCount: 1000 })
    expect([log.text('999'), log.text('1000')]).toEqual([undefined, ''])
    expect(log.store.expiredAt(5000)).toHaveLength(1)
    expect(expireAt(log, 5000)).toMatchObject({ expiredCount: 500 })
    expect(log.store.nextExpiry()).toBeUndefined()
  })

  it('are gone with their key where they are its own', () => {
    const log = new AppliedLog()
    for (let i = 0; i < 10; i++) log.apply(put('a', `${i}`, { ttlMs: 100 + i }))
    expect(log.store.nextExpiry()).toBe(109)
    log.apply(del('a'))
    expect(log.store.nextExpiry()).toBeUndefined()
  })

  it('do not run backwards when a batch is stamped earlier than the one before', () => {
    const log = new AppliedLog()
    log.clusterTime = 500
    log.apply(put('a', '1'))
    log.clusterTime = 0
    log.apply(put('b', '2', { ttlMs: 10 }))
    expect(log.store.nextExpiry()).toBe(510)
  })
})
