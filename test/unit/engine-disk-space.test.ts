import { describe, expect, it, vi } from 'vitest'
import { DiskSpace } from '../../src/engine-disk-space.js'
import { VirtualTime } from './virtual-time.js'

const HOUR_MS = 3_600_000
type Answer = { readonly blocks: number; readonly bavail: number; readonly bsize: number }

/** The space of a disk that answers when it is told to. */
function disk() {
  const clock = new VirtualTime()
  const notices: string[] = []
  const asked: { path: string; answer: (said: Answer) => void; fail: (error: Error) => void }[] = []
  const statfs = (path: string): Promise<Answer> => {
    return new Promise((answer, fail) => void asked.push({ path, answer, fail }))
  }
  const space = new DiskSpace('/data', { statfs, clock, notice: (text) => void notices.push(text) })
  const pausing = (): Promise<void> => vi.waitUntil(() => clock.timers === 1, { interval: 1 }).then(() => undefined)
  return { clock, notices, asked, space, pausing }
}

const free = (bavail: number): Answer => ({ blocks: 1000, bavail, bsize: 4096 })

describe('the space on a disk', () => {
  it('is known once the first answer is there, and asked for again a second later', async () => {
    const { clock, asked, space, pausing } = disk()
    const watching = space.watch()
    expect([asked[0]?.path, space.freeBytes]).toEqual(['/data', undefined])
    asked[0]!.answer(free(10))
    await watching
    expect(space.freeBytes).toBe(40_960)
    clock.advance(999)
    expect(asked).toHaveLength(1)
    clock.advance(1)
    asked[1]!.answer(free(9))
    await pausing()
    expect(space.freeBytes).toBe(36_864)
  })

  it('is asked for by one call at a time, however long that takes', async () => {
    const { clock, asked, space, pausing } = disk()
    const watching = space.watch()
    clock.advance(HOUR_MS)
    expect(asked).toHaveLength(1)
    asked[0]!.answer(free(10))
    await watching
    clock.advance(HOUR_MS)
    expect(asked).toHaveLength(2)
    expect(space.freeBytes).toBe(40_960)
    asked[1]!.answer(free(10))
    await pausing()
    clock.advance(1000)
    expect(asked).toHaveLength(3)
  })

  it('is not asked for any more once stopped, between two calls or within one', async () => {
    for (const isWithin of [false, true]) {
      const { clock, asked, space } = disk()
      const watching = space.watch()
      if (isWithin) space.stop()
      asked[0]!.answer(free(10))
      await watching
      space.stop()
      clock.advance(HOUR_MS)
      expect([asked.length, clock.timers]).toEqual([1, 0])
    }
  })

  it('is not known while it cannot be asked for, which is told once', async () => {
    const { clock, asked, space, pausing, notices } = disk()
    const watching = space.watch()
    asked[0]!.answer(free(10))
    await watching
    for (const at of [1, 2]) {
      clock.advance(1000)
      asked[at]!.fail(new Error('EACCES: permission denied, statfs'))
      await pausing()
      expect(space.freeBytes).toBeUndefined()
    }
    expect(notices).toEqual([
      'how much is free on the disk of /data is not known: EACCES: permission denied, statfs; as long as that is so, a disk that fills is not noticed in time (lowDiskBytes)',
    ])
    clock.advance(1000)
    asked[3]!.answer(free(0))
    await pausing()
    expect(space.freeBytes).toBe(0)
  })

  it('is not known of a file system without a size, which would seem full', async () => {
    const { asked, space, notices } = disk()
    const watching = space.watch()
    asked[0]!.answer({ blocks: 0, bavail: 0, bsize: 4096 })
    await watching
    expect(space.freeBytes).toBeUndefined()
    expect(notices[0]).toContain('/data is not known: its file system does not say')
  })

  it('is nothing to speak of once stopped', async () => {
    const { asked, space, notices } = disk()
    const watching = space.watch()
    space.stop()
    asked[0]!.fail(new Error('ENOENT'))
    await watching
    expect(notices).toEqual([])
  })
})
