import { describe, expect, it } from 'vitest'
import { follower, heartbeat, HEARTBEAT_MS, led, Machine, T } from '../machine-harness.js'

describe('§5.6: timing and availability', () => {
  it('broadcastTime ≪ electionTimeout: a follower that loses most heartbeats still knows its leader', () => {
    const machine = led()
    for (let round = 2; round < 200; round++) {
      machine.advance(HEARTBEAT_MS)
      if (round % 10 === 0) machine.receive(2, heartbeat(1, round))
    }
    expect(machine.role).toBe('follower')
    expect(machine.context.leaderId).toBe(2)
  })

  it.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'when the leader crashes, a follower campaigns within [T, 2T) of its last word, seed %i',
    (seed) => {
      const machine = led({ seed })
      for (let round = 2; round < 30; round++) {
        machine.advance(HEARTBEAT_MS)
        machine.receive(2, heartbeat(1, round))
      }
      const silentSince = machine.now
      machine.advanceUntil(() => machine.role === 'preCandidate')
      expect(machine.now - silentSince).toBeGreaterThanOrEqual(T)
      expect(machine.now - silentSince).toBeLessThanOrEqual(2 * T)
    },
  )

  it('a timer that fires a little early only looks again: the timeout drawn for this wait still holds', () => {
    for (let seed = 0; seed < 20; seed++) {
      const machine = new Machine({ seed, earlyMs: 2 })
      const { electionTimeoutMs } = machine.context.chance
      machine.advanceUntil(() => machine.role === 'preCandidate')
      expect(machine.now).toBe(Math.ceil(electionTimeoutMs))
    }
  })

  it('a follower at its start waits an election timeout, for there may be a leader', () => {
    const machine = new Machine()
    machine.advance(T - 1)
    expect(machine.role).toBe('follower')
  })

  it('the longest time that a server has promised to wait is longer than its own election timeout if its leader says so', () => {
    const machine = follower({ term: 1 })
    machine.receive(2, heartbeat(1, 1, 0, 5 * T))
    machine.completeWrites()
    const since = machine.now
    machine.advanceUntil(() => machine.role === 'preCandidate')
    expect(machine.now - since).toBe(5 * T)
  })
})
