import { beforeEach, describe, expect, it } from 'vitest'
import { Notices } from '../../src/transport/notices.js'
import { VirtualTime } from './virtual-time.js'

const INTERVAL_MS = 10_000

let time: VirtualTime
let said: string[]
let notices: Notices

beforeEach(() => {
  time = new VirtualTime()
  said = []
  notices = new Notices((text) => said.push(text), time, 'told in time')
})

function repeat(count: number, subject = 'one'): void {
  for (let at = 1; at <= count; at++) notices.limited(subject, `${subject} ${at}`)
}

describe('a limited notice', () => {
  it('is said at once the first time, whatever else was said of other subjects', () => {
    for (const subject of ['one', 'two', 'three']) repeat(3, subject)
    expect(said).toEqual(['one 1', 'two 1', 'three 1'])
  })

  it('that was left unsaid is told with its number when its time is up, though nothing follows', () => {
    repeat(1)
    time.advance(INTERVAL_MS - 1)
    repeat(4)
    expect(said).toEqual(['one 1'])
    time.advance(1)
    expect(said).toEqual(['one 1', 'one 4 (and 3 more of the kind since the last notice)'])
    time.advance(10 * INTERVAL_MS)
    expect(said).toHaveLength(2)
  })

  it('that was the only one left unsaid is told by itself', () => {
    repeat(2)
    time.advance(INTERVAL_MS)
    expect(said).toEqual(['one 1', 'one 2'])
  })

  it('that goes on is told once in ten seconds, and none is left out of the count', () => {
    for (let at = 0; at < 100; at++) {
      repeat(1)
      time.advance(INTERVAL_MS / 20)
    }
    time.advance(INTERVAL_MS)
    expect(said.length).toBeLessThanOrEqual(7)
    const more = said.map((text) => Number(/and (\d+) more/.exec(text)?.[1] ?? 0))
    expect(more.reduce((sum, count) => sum + count, said.length)).toBe(100)
  })

  it('sets no timer while nothing is unsaid', () => {
    repeat(1)
    expect(time.timers).toBe(0)
    repeat(1)
    expect(time.timers).toBe(1)
    time.advance(INTERVAL_MS)
    expect(time.timers).toBe(0)
  })

  it('that comes when the time is up, before the timer is heard, tells of those before it, once', () => {
    const late = { ...time, now: () => time.now(), defer: time.defer }
    notices = new Notices((text) => said.push(text), late, 'told in time')
    late.now = () => 0
    repeat(3)
    late.now = () => INTERVAL_MS
    repeat(1)
    expect(said).toEqual(['one 1', 'one 1 (and 2 more of the kind since the last notice)'])
    time.advance(2 * INTERVAL_MS)
    expect(said).toHaveLength(2)
  })

  it('leaves no timer when it is closed, and sets none after', () => {
    repeat(2)
    repeat(1, 'two')
    notices.close()
    expect(time.timers).toBe(0)
    repeat(2, 'two')
    expect(time.timers).toBe(0)
  })

  it('in a network without timers is told with the next one', () => {
    notices = new Notices((text) => said.push(text), time, 'told with the next')
    repeat(3)
    expect(time.timers).toBe(0)
    time.advance(INTERVAL_MS)
    repeat(1)
    expect(said).toEqual(['one 1', 'one 1 (and 2 more of the kind since the last notice)'])
  })
})
