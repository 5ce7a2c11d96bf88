import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EmbeddedEngine } from '../../src/index.js'
import { EnginePlace, text } from './engine-place.js'

let place: EnginePlace
let engine: EmbeddedEngine

beforeEach(async () => {
  place = await EnginePlace.make()
  engine = await place.start()
  await engine.ready()
  for (const key of ['a', 'b']) await engine.client.put(key, `of ${key}`)
})

afterEach(() => place.dispose())

async function bothValues(): Promise<[Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>]> {
  const [a, b] = await engine.client.getMulti(['a', 'b'])
  return [a, b] as [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>]
}

describe('a value that a caller hands on with its buffer', () => {
  it('is not transferred, and takes none of others with it', async () => {
    const [a, b] = await bothValues()
    try {
      expect(text(structuredClone(a, { transfer: [a.buffer] }))).toBe('of a')
    } catch (error) {
      // Node 20 copies what may not be transferred; later versions refuse.
      expect(error).toMatchObject({ name: 'DataCloneError' })
    }
    expect([text(a), text(b)]).toEqual(['of a', 'of b'])
    expect(text(await engine.client.get('b'))).toBe('of b')
  })

  it('to a byte stream, which takes the buffer all the same, costs later readers and watchers nothing', async () => {
    const [a] = await bothValues()
    const stream = new ReadableStream({ type: 'bytes', start: (controller) => controller.enqueue(a) })
    expect(a.length).toBe(0)
    await stream.cancel()
    const watch = engine.client.watch('b')
    const event = watch[Symbol.asyncIterator]().next()
    await engine.client.put('b', 'afterwards')
    expect((await event).done).toBe(false)
    expect(text(await engine.client.get('b'))).toBe('afterwards')
    expect(engine.isLeader).toBe(true)
  })
})
