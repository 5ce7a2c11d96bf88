import { describe, expect, it } from 'vitest'
import { accepted, batch, commitsIn, elected, FIVE, messagesIn, serving, stepsIn } from '../machine-harness.js'

describe('Thesis §10.2.1: writing to the leader’s disk in parallel', () => {
  it('the leader replicates new entries while it is writing them to its own disk', () => {
    const machine = serving()
    const effects = machine.propose(batch(1))
    expect(stepsIn(effects)).toHaveLength(1)
    expect(messagesIn(effects).map(({ to }) => to)).toEqual([2, 3])
    expect(machine.context.durable.index).toBe(1)
  })

  it('it counts itself only once its own write has completed', () => {
    const machine = serving()
    machine.propose(batch(1))
    expect(commitsIn(machine.receive(2, accepted(1, 2)))).toEqual([])
    expect(commitsIn(machine.completeWrite())).toMatchObject([{ index: 2 }])
  })

  it('it may even commit an entry before that, if a majority of the others has it', () => {
    const machine = serving({ configuration: FIVE })
    machine.propose(batch(1))
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 2))
    expect(machine.context.commitIndex).toBe(1)
    expect(commitsIn(machine.receive(4, accepted(1, 2)))).toMatchObject([{ index: 2 }])
    expect(machine.context.durable.index).toBe(1)
  })

  it('a write covers what was proposed before it was asked for, not what came meanwhile', () => {
    const machine = elected()
    machine.completeWrites()
    machine.receive(2, accepted(1, 1))
    machine.propose(batch(1), batch(2))
    machine.propose(batch(3))
    machine.receive(2, accepted(1, 4))
    expect(commitsIn(machine.completeWrite())).toMatchObject([{ index: 3 }])
    expect(commitsIn(machine.completeWrite())).toMatchObject([{ index: 4 }])
  })
})
