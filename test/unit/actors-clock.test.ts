import { describe, expect, it } from 'vitest'
import { realClock, realRandom } from '../../src/actors/clock.js'
import { LoopClock, type LoopTimer } from '../../src/actors/loop-clock.js'
import { VirtualTime } from './virtual-time.js'

function loopClock() {
  const time = new VirtualTime()
  const posted: LoopTimer[] = []
  const clock = new LoopClock(time, (timer) => posted.push(timer))
  return { time, posted, clock }
}

describe('the clock that the role machine sees', () => {
  it('posts an expiry into the loop instead of calling back', () => {
    const { time, posted, clock } = loopClock()
    let calls = 0
    const timer = clock.setTimeout(() => calls++, 100)
    time.advance(99)
    expect(posted).toEqual([])
    time.advance(1)
    expect(posted).toEqual([timer])
    expect(calls).toBe(0)
    posted[0]?.callback()
    expect(calls).toBe(1)
  })

  it('marks an expiry that is cleared after it was posted, for the loop to drop', () => {
    const { time, posted, clock } = loopClock()
    const timer = clock.setTimeout(() => undefined, 100)
    time.advance(100)
    clock.clearTimeout(timer)
    expect(posted[0]?.isCleared).toBe(true)
  })

  it('posts nothing for a timer that is cleared in time', () => {
    const { time, posted, clock } = loopClock()
    clock.clearTimeout(clock.setTimeout(() => undefined, 100))
    clock.clearTimeout(undefined)
    time.advance(1000)
    expect(posted).toEqual([])
    expect(clock.now()).toBe(1000)
  })
})

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const nextTimers = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))
const nextCheck = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function block(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end) Math.sqrt(end)
}

describe('the real clock', () => {
  it('reports a timer only after one further poll phase', async () => {
    const order: string[] = []
    await nextCheck()
    // Both are due when the timers are looked at; the plain one shows when that is.
    realClock.setTimeout(() => order.push('reported'), 1)
    const plain = new Promise<void>((resolve) => {
      setTimeout(() => {
        order.push('due')
        setTimeout(() => {
          order.push('next timers')
          resolve()
        }, 0)
      }, 1)
    })
    block(5)
    await plain
    expect(order.indexOf('due')).toBeLessThan(order.indexOf('reported'))
    expect(order.indexOf('reported')).toBeLessThan(order.indexOf('next timers'))
  })

  it('hears a message that waited through a pause before the timer that expired in it', async () => {
    const { createServer, connect } = await import('node:net')
    const order: string[] = []
    const server = createServer((socket) => socket.on('data', () => order.push('message')))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
    const client = connect(address.port, '127.0.0.1')
    await new Promise<void>((resolve) => client.on('connect', resolve))
    await sleep(20)
    const expired = new Promise<void>((resolve) => {
      realClock.setTimeout(() => {
        order.push('timer')
        resolve()
      }, 30)
    })
    // The message is in the socket before the pause ends, and the timer is long due by then.
    client.write('heartbeat')
    block(60)
    await expired
    client.destroy()
    server.close()
    expect(order).toEqual(['message', 'timer'])
  })

  it('does not report a timer that was cleared while its report waited for that phase', async () => {
    let reports = 0
    const timer = realClock.setTimeout(() => reports++, 1)
    // Due in the same look at the timers, and after it: its report is on its way.
    const cleared = new Promise<void>((resolve) => {
      setTimeout(() => {
        realClock.clearTimeout(timer)
        resolve()
      }, 1)
    })
    block(5)
    await cleared
    await nextCheck()
    await nextTimers()
    expect(reports).toBe(0)
  })

  it('does not report a timer that was cleared in time, and clears what is no timer of its own', async () => {
    let reports = 0
    realClock.clearTimeout(realClock.setTimeout(() => reports++, 1))
    realClock.clearTimeout(undefined)
    realClock.clearTimeout({})
    await sleep(5)
    expect(reports).toBe(0)
  })

  it('defers to the end of the turn, after what else arrives in it', async () => {
    const order: string[] = []
    realClock.defer(() => order.push('deferred'))
    await Promise.resolve().then(() => order.push('microtask'))
    await nextCheck()
    expect(order).toEqual(['microtask', 'deferred'])
  })

  it('runs forward, beside the wall time', () => {
    const before = realClock.now()
    block(2)
    expect(realClock.now()).toBeGreaterThan(before)
    expect(Math.abs(realClock.wallTime() - Date.now())).toBeLessThan(1000)
  })
})

describe('the real source of chance', () => {
  it('gives integers below 2^32, and not the same ones', () => {
    const drawn = Array.from({ length: 100 }, () => realRandom.uint32())
    expect(drawn.every((number) => Number.isInteger(number) && number >= 0 && number < 2 ** 32)).toBe(true)
    expect(new Set(drawn).size).toBeGreaterThan(90)
  })
})
