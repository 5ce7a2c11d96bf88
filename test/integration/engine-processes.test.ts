import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'
import { WorkerEngine } from './engine-worker-handle.js'

/** A put that may be repeated: until its outcome is known. */
async function putUntilKnown(worker: WorkerEngine, key: string, value: string): Promise<void> {
  for (;;) {
    const code = await worker.call('put', key, value).then(
      () => 'ok',
      (error: Error) => error.message,
    )
    if (code === 'ok') return
    expect(code).toBe('OUTCOME_UNKNOWN')
  }
}

describe('three engines in processes of their own', () => {
  let place: EnginePlace
  let workers: WorkerEngine[] = []

  beforeEach(async () => {
    place = await EnginePlace.make()
  })

  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.kill()))
    await place.dispose()
  })

  it.each([
    ['disk-first', 'file'],
    ['mem-first', 'file'],
    ['disk-first', 'level'],
    ['mem-first', 'level'],
  ] as const)(
    'lose nothing when the leader is killed, and then all of them (%s, on a log of kind %s)',
    async (durability, logStore) => {
      const options = (await optionsOfThree(place)).map((each) => ({ ...each, durability, logStore }))
      workers = options.map((each) => new WorkerEngine(each))
      await Promise.all(workers.map((worker) => worker.started))
      const keys = Array.from({ length: 30 }, (_, at) => `key-${at}`)
      await Promise.all(keys.map((key, at) => putUntilKnown(workers[at % 3]!, key, `value of ${key}`)))

      const leaderId = Number(await workers[0]!.call('leaderId'))
      await workers[leaderId - 1]!.kill()
      const survivor = workers[leaderId % 3]!
      await putUntilKnown(survivor, 'after', 'the kill')
      expect(await survivor.call('get', 'key-29')).toBe('value of key-29')

      await Promise.all(workers.map((worker) => worker.kill()))
      const [engine] = await Promise.all(options.map((each) => place.start(each)))
      const values = (await engine!.client.getMulti([...keys, 'after'])).map(text)
      expect(values).toEqual([...keys.map((key) => `value of ${key}`), 'the kill'])
    },
    60_000,
  )
})
