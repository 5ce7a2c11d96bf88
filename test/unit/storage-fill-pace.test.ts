import { describe, expect, it } from 'vitest'
import { FillPace } from '../../src/storage/file/fill-pace.js'

/** What has become of a wait, once all that could settle has. */
async function outcomeOf(wait: Promise<void>): Promise<string> {
  let outcome = 'waits'
  wait.then(
    () => (outcome = 'goes on'),
    (error: Error) => (outcome = error.message),
  )
  await new Promise((resolve) => setImmediate(resolve))
  return outcome
}

describe('the next segment', () => {
  it('is begun at once', async () => {
    expect(await outcomeOf(new FillPace().until(0))).toBe('goes on')
  })

  it('is filled as far as was allowed, and then waits', async () => {
    const pace = new FillPace()
    pace.allow(0.5)
    expect(await outcomeOf(pace.until(0.5))).toBe('goes on')
    const wait = pace.until(0.75)
    expect(await outcomeOf(wait)).toBe('waits')
    pace.allow(0.7)
    expect(await outcomeOf(wait)).toBe('waits')
    pace.allow(0.8)
    expect(await outcomeOf(wait)).toBe('goes on')
  })

  it('is not held up again by a smaller share', async () => {
    const pace = new FillPace()
    pace.allow(1)
    pace.allow(0.1)
    expect(await outcomeOf(pace.until(0.9))).toBe('goes on')
  })

  it('is given up, whether it waits or comes to wait, and whatever was allowed', async () => {
    const pace = new FillPace()
    const wait = pace.until(0.5)
    pace.giveUp(new Error('closed'))
    expect(await outcomeOf(wait)).toBe('closed')
    pace.allow(1)
    expect(await outcomeOf(pace.until(0.75))).toBe('closed')
  })
})
