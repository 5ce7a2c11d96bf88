import type { LogIndex } from '../../src/machines/types.js'
import type { KvResult } from '../../src/state-machines/kv/results.js'
import { Violation } from '../../src/testing/index.js'
import type { Story } from '../integration/scenarios/story.js'
import { begin } from './beginning.js'

/** Simulations of what comes again, or too late, in a session. */
export const SESSIONS_DIRECTED = {
  'a command of a session comes again after a restart': comesAgain,
  'a command comes late that its session gave up': comesLate,
} as const

function opened(story: Story): LogIndex {
  return story.done(story.propose(1, { type: 'openSession', timeoutMs: 60_000 })).revision
}

/** What a client of that session sends when it has given up, or heard of, all before `lowestOutstanding`. */
function send(story: Story, session: LogIndex, sequence: number, lowestOutstanding: number): KvResult {
  const command = { type: 'put', key: 'x', value: `command ${sequence}` } as const
  return story.done(story.propose(1, { type: 'inSession', session, sequence, lowestOutstanding, command }))
}

/** Server 2 has the first copy of a command in its snapshot, and the second in its log. */
function comesAgain(): void {
  const story = begin()
  const session = opened(story)
  send(story, session, 1, 1)
  story.until('server 2 has applied it', () => story.stored(2, 'x') === 'command 1')
  story.done(story.snapshot(2))
  story.server(2).kill()
  story.server(2).start()
  send(story, session, 1, 1)
  story.heals()
}

function comesLate(): void {
  const story = begin()
  const session = opened(story)
  send(story, session, 2, 2)
  const late = send(story, session, 1, 1)
  if (!('refused' in late)) throw new Violation('what a session gave up is not applied later', JSON.stringify(late))
  story.heals()
}
