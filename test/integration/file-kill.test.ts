import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { OpenStore } from '../../src/testing/log-store-subject.js'
import type { FullDiskReport } from './file-full-disk-worker.js'
import { FilePlace } from './file-place.js'

let place: FilePlace

beforeEach(async () => {
  place = await FilePlace.make()
})

afterEach(() => place.dispose())

it.each(['disk-first', 'mem-first'] as const)(
  'kill -9 in the middle of writes loses nothing acknowledged, and leaves no lock (%s)',
  async (durability) => {
    let reached = 0
    for (let round = 1; round <= 3; round++) {
      const worker = fork(
        fileURLToPath(new URL('./file-kill-worker.ts', import.meta.url)),
        [place.directory, durability],
        {
          execArgv: ['--import', 'tsx'],
        },
      )
      const enough = reached + 60 * round
      worker.on('message', (acknowledged: number) => {
        reached = acknowledged
        if (acknowledged >= enough) worker.kill('SIGKILL')
      })
      await once(worker, 'exit')
      expect(reached).toBeGreaterThanOrEqual(enough)
      const opened = await OpenStore.open(place.store())
      expect(opened.recovered.lastIndex).toBeGreaterThanOrEqual(reached)
      reached = opened.recovered.lastIndex
      const runs = await opened.read(1)
      expect(runs.at(-1)?.lastIndex).toBe(reached)
      await opened.close()
    }
  },
)

it('a write for which there is no room is refused, nothing follows it, and nothing of it is believed later', async () => {
  const { acknowledged, codes, message } = await writeUntilFull(place.directory)
  expect(acknowledged).toBeGreaterThan(0)
  expect(codes).toEqual(['STORAGE_FAILED', 'STORAGE_FAILED'])
  expect(message).toMatch(/Nothing was retried/)
  const opened = await OpenStore.open(place.store())
  expect(opened.recovered.lastIndex).toBe(acknowledged)
  await opened.close()
})

/** No file of the process may grow beyond 64 blocks, of 512 or 1,024 bytes. */
function writeUntilFull(directory: string): Promise<FullDiskReport> {
  const worker = fileURLToPath(new URL('./file-full-disk-worker.ts', import.meta.url))
  const args = ['-c', 'ulimit -f 64; exec "$0" "$@"', process.execPath, '--import', 'tsx', worker, directory]
  return new Promise((resolve, reject) => {
    execFile('/bin/sh', args, { timeout: 15_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as FullDiskReport)
      else reject(new Error(stderr, { cause: error }))
    })
  })
}
