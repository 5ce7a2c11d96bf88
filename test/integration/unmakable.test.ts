import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EnginePlace } from './engine-place.js'

const WORKER = fileURLToPath(new URL('./unmakable-worker.ts', import.meta.url))

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => place.dispose())

describe('a data directory within one that takes none', () => {
  // Node's own recursive mkdir never comes back from there.
  it.runIf(existsSync('/proc/self'))('is refused as any other that cannot be made', { timeout: 40_000 }, async () => {
    const args = ['--import', 'tsx', WORKER, place.root, '/proc/nope/x']
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000, killSignal: 'SIGKILL' })
    const outcomes = stdout.trim().split('\n')
    expect(outcomes).toHaveLength(3)
    for (const outcome of outcomes)
      expect(outcome).toMatch(/^STORAGE_FAILED .*\/proc\/nope.* cannot be created: ENOENT/)
  })
})
