import { describe, expect, it } from 'vitest'
import {
  accepted,
  append,
  commitsIn,
  configurationRun,
  entries,
  follower,
  heartbeatReply,
  led,
  Machine,
  messagesIn,
  ofType,
  requestVote,
  serving,
  T,
  THREE,
  voteReply,
} from '../machine-harness.js'

const [first] = entries([1])
const FOUR = { voters: [1, 2, 3], learners: [4] }
const PAIR = { voters: [2, 3], learners: [] }

describe('Thesis §4.1: a configuration is stored and sent as a special entry in the log', () => {
  it('a server uses the latest configuration in its log, whether or not its entry is committed', () => {
    const machine = led({ entries: [first!], configuration: { voters: [2, 3], learners: [1] } })
    expect(machine.actor.getSnapshot().matches({ follower: 'learning' })).toBe(true)
    machine.receive(2, append(1, [1, 1], [configurationRun(first, 1, THREE)], 1))
    expect(machine.context.commitIndex).toBe(1)
    expect(machine.configurations.at(-1)).toEqual({ index: 2, configuration: THREE })
    expect(machine.actor.getSnapshot().matches({ follower: 'voting' })).toBe(true)
  })

  it('so does one that was restarted', () => {
    const machine = new Machine({ entries: [first!, configurationRun(first, 1, FOUR)] })
    expect(machine.configurations.map(({ index }) => index)).toEqual([0, 2])
  })

  it('and the leader, which sends to a new server as soon as it has appended the entry', () => {
    const machine = serving()
    const effects = machine.ask({ learners: [{ id: 4, address: 'four:1', promotable: false }] })
    expect(ofType('appendEntries', effects).map(({ to }) => to)).toEqual([2, 3, 4])
    expect(machine.configurations.at(-1)?.configuration).toMatchObject(FOUR)
  })

  it('a learner alone needs no joint configuration, for no majority changes', () => {
    const machine = serving()
    machine.ask({ learners: [{ id: 4, address: 'four:1', promotable: false }] })
    machine.completeWrites()
    expect(commitsIn(machine.receive(4, accepted(1, 2)))).toEqual([])
    expect(commitsIn(machine.receive(3, accepted(1, 2)))).toMatchObject([{ index: 2 }])
    expect(machine.configurations.map(({ index }) => index)).toEqual([0, 2])
  })

  it('when the entry is truncated, the server falls back to the configuration before it', () => {
    const second = configurationRun(first, 1, FOUR)
    const third = configurationRun(second, 1, { voters: [1, 2], learners: [3] })
    const machine = led({ entries: [first!, second, third] })
    machine.receive(3, append(2, [2, 1], entries([2], [second])))
    expect(machine.configurations).toEqual([
      { index: 0, configuration: THREE },
      { index: 2, configuration: FOUR },
    ])
    machine.receive(2, append(3, [1, 1], entries([3], [first!])))
    expect(machine.configurations).toEqual([{ index: 0, configuration: THREE }])
  })

  it('one that a truncation makes a voter again campaigns again', () => {
    const joint = configurationRun(first, 1, { ...PAIR, votersOutgoing: [1, 2, 3] })
    const machine = led({ entries: [first!, joint, configurationRun(joint, 1, { ...PAIR, learners: [1] })] })
    machine.receive(2, append(2, [1, 1], entries([2], [first!])))
    machine.completeWrites()
    machine.advanceUntil(() => machine.role === 'preCandidate')
    expect(messagesIn(machine.advance(2 * T)).map(({ to }) => to)).toEqual([2, 3])
  })

  it('it accepts AppendEntries from a leader that is not part of its latest configuration', () => {
    const machine = follower({ term: 1, configuration: { voters: [1, 2, 3], learners: [] } })
    machine.receive(9, append(1, [0, 0], [first!]))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 9, message: accepted(1, 1) }])
  })

  it('and votes for a candidate that is not part of it', () => {
    const machine = follower()
    machine.receive(9, requestVote(1))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 9, message: voteReply(1, true) }])
  })

  it('a new server that knows of no configuration waits to be told, and follows', () => {
    const machine = follower({ id: 4, configuration: { voters: [], learners: [] } })
    machine.advance(10 * T)
    expect(machine).toMatchObject({ role: 'follower', term: 0 })
    machine.receive(1, append(1, [0, 0], [configurationRun(undefined, 1, FOUR)]))
    expect(ofType('appendEntriesReply', machine.completeWrites())).toHaveLength(1)
    expect(machine.configurations.at(-1)?.configuration).toEqual(FOUR)
  })

  it('an answer from one that is no member any more counts for nothing', () => {
    const machine = serving()
    expect(machine.receive(9, accepted(1, 1))).toEqual([])
    expect(machine.receive(9, heartbeatReply(1, 1, 1))).toEqual([])
  })
})
