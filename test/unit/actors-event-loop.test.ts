import { describe, expect, it } from 'vitest'
import { EventLoop, type LoopInput } from '../../src/actors/event-loop.js'
import { heartbeat } from '../machine-harness.js'
import { VirtualTime } from './virtual-time.js'

const message = (from: number): LoopInput => ({ type: 'message', from, message: heartbeat(1, 1) })
const requests: LoopInput = { type: 'requests' }

function loopWith(turn: (inputs: readonly LoopInput[], loop: EventLoop) => void) {
  const clock = new VirtualTime()
  const turns: (readonly LoopInput[])[] = []
  const errors: unknown[] = []
  const loop: EventLoop = new EventLoop(
    clock,
    (inputs) => {
      turns.push(inputs)
      turn(inputs, loop)
    },
    (error) => errors.push(error),
    1024,
  )
  return { clock, loop, turns, errors }
}

const nothing = (): void => undefined

describe('the event loop', () => {
  it('drains in one turn whatever has arrived, from every source, in the order of arrival', () => {
    const { clock, loop, turns } = loopWith(nothing)
    const completion: LoopInput = { type: 'event', event: { type: 'peerDown', peer: 9 } }
    const expiry: LoopInput = {
      type: 'expiry',
      timer: { callback: nothing, underlying: undefined, isCleared: false },
    }
    loop.messages.next(message(2))
    loop.requests.next(requests)
    loop.messages.next(message(3))
    loop.expiries.next(expiry)
    loop.completions.next(completion)
    expect(turns).toEqual([])
    clock.turn()
    expect(turns).toEqual([[message(2), requests, message(3), expiry, completion]])
  })

  it('takes no turn while nothing arrives', () => {
    const { clock, loop, turns } = loopWith(nothing)
    loop.requests.next(requests)
    clock.turn()
    clock.advance(60_000)
    expect(turns).toHaveLength(1)
  })

  it('leaves what arrives during a turn for the next, and takes that at once', () => {
    const { clock, loop, turns } = loopWith((inputs, self) => {
      if (inputs[0]?.type === 'requests') self.messages.next(message(2))
    })
    loop.requests.next(requests)
    clock.turn()
    expect(turns).toEqual([[requests], [message(2)]])
    expect(clock.now()).toBe(0)
  })

  it('coalesces what it drains', () => {
    const { clock, loop, turns } = loopWith(nothing)
    loop.messages.next(message(2))
    loop.messages.next(message(2))
    clock.turn()
    expect(turns).toEqual([[message(2)]])
  })

  it('ends with an error in a turn, reports it once, and hears nothing more', () => {
    const failure = new Error('broken')
    const { clock, loop, turns, errors } = loopWith((_, self) => {
      self.messages.next(message(2))
      throw failure
    })
    loop.requests.next(requests)
    clock.turn()
    loop.messages.next(message(3))
    clock.turn()
    expect(errors).toEqual([failure])
    expect(turns).toHaveLength(1)
  })

  it('ends with an error in one of its sources likewise', () => {
    const { clock, loop, turns, errors } = loopWith(nothing)
    const failure = new Error('a source broke')
    loop.messages.error(failure)
    loop.requests.next(requests)
    clock.turn()
    expect(errors).toEqual([failure])
    expect(turns).toEqual([])
  })

  it('drops what has arrived when it is stopped, and reports nothing', () => {
    const { clock, loop, turns, errors } = loopWith(nothing)
    loop.requests.next(requests)
    loop.stop()
    clock.turn()
    expect(turns).toEqual([])
    expect(errors).toEqual([])
  })

  it('that is stopped within a turn reports no error of that turn', () => {
    const { clock, loop, errors } = loopWith((_, self) => {
      self.stop()
      throw new Error('after the stop')
    })
    loop.requests.next(requests)
    clock.turn()
    expect(errors).toEqual([])
  })
})
