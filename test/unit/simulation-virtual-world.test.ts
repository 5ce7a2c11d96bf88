import { describe, expect, it } from 'vitest'
import { VirtualWorld } from '../../src/testing/simulation/virtual-world.js'

describe('virtual time', () => {
  it('goes on although a timer is set anew for a time too short to add to the clock', () => {
    const world = new VirtualWorld()
    world.advance(298.8)
    const due = world.now() + 1e-14
    expect(due).toBe(world.now())
    let fired = 0
    const again = (): void => {
      if (++fired < 1000) world.setTimeout(again, 1e-14)
    }
    world.setTimeout(again, 1e-14)
    world.step()
    expect(fired).toBe(1)
    expect(world.now()).toBeGreaterThan(298.8)
  })

  it('comes to equal deadlines in the order in which they were set, however far it is advanced at a time', () => {
    const runs = [1, 7, 100].map((ms) => {
      const world = new VirtualWorld()
      const fired: string[] = []
      for (const [name, delay] of Object.entries({ b: 50, c: 50, a: 20, d: 99 })) {
        world.setTimeout(() => fired.push(`${name}${world.now()}`), delay)
      }
      while (world.now() < 100) world.advance(ms)
      return fired
    })
    expect(runs).toEqual(Array(3).fill(['a20', 'b50', 'c50', 'd99']))
  })

  const chain = (world: VirtualWorld, length: number): (() => void) => {
    let callbacks = 0
    const again = (): void => {
      if (++callbacks < length) world.defer(again)
    }
    return again
  }

  it('stands still for as much as five servers do that write large snapshots in small pieces (seed 610003493)', () => {
    const world = new VirtualWorld()
    world.defer(chain(world, 200_000))
    world.advance(1)
    expect(world.now()).toBe(1)
    expect(world.steps).toBe(200_000)
  })

  it('that stands still for ever breaks a law', () => {
    const world = new VirtualWorld()
    world.defer(chain(world, Infinity))
    expect(() => world.advance(1)).toThrow('more than 1000000 callbacks at 0 ms')
  })
})
